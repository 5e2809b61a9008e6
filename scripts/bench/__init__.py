"""Benchmarks: this package beside llama.cpp's own tools, gpt4all 2.8.2 and llama-cpp-python, in one run.

``peers`` and ``models`` prepare, ``drivers/`` are run by each subject's own
Python, ``rows`` measures, ``results``, ``targets`` and ``report`` are pure.
"""
