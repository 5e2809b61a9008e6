"""Model files: what a name can mean, where they lie, how they are found, fetched and deleted."""
