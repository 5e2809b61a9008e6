"""Installs a finished wheel in every way that people do, and uses it as they would."""
