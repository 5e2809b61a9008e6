"""Tools: what a model may call, how its calls are read and checked, and carrying them out."""
