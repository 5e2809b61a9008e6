"""Shows on a machine with a GPU whether a backend works there, and how fast: what ``scripts/dev gpu`` runs."""
