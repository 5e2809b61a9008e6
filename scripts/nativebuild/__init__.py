"""Builds the native backends: what ``build_backends.sh`` and the wheel hook run.

Standard library only, since it runs before anything is installed.
"""
