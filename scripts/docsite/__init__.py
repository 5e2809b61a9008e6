"""The documentation: its site, built from docs/ and the docstrings."""
