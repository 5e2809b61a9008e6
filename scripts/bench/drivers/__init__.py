"""Programs that measure one subject each, run by its own Python: ``python -m bench.drivers.NAME``."""
