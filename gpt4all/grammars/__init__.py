"""What an answer may be: JSON Schemas, patterns and formats as grammars."""
