"""One call of ``generate``: what it sends, the answer, and what stays."""
