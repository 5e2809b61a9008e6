"""What ``scripts/dev`` and the short scripts beside it run.

``table`` says what there is and where it lies, ``__main__`` finds the Python and the search path for it. The commands
of a newcomer lie here, all others in the packages beside this one. Run as ``python scripts/commands``, on any Python
that is new enough.
"""
