"""GPU drivers, asked without any backend."""
