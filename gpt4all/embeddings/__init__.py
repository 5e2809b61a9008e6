"""Texts for embedding models, and the vectors they become."""
