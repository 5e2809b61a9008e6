"""The package's version; also read by the build."""

__version__ = "2.9.0"
