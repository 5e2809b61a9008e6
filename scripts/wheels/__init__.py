"""Wheels: which platform a library binds one to, and what a finished one has to be.

Standard library only, since the wheel hook runs parts of it in pip's environment.
"""
