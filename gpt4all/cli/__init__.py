"""The command ``gpt4all``, also ``python -m gpt4all``.

A command is a module of this folder with two functions, and a line in ``COMMANDS`` of ``main.py``::

    def add_arguments(parser: argparse.ArgumentParser) -> None: ...
    def run(options: argparse.Namespace) -> int: ...  # the exit status, one of failures.py

Only the module of the command that is called is imported, and it imports the engine, and what is slow, in ``run``.
``arguments.py`` has the options that commands share, and opens the model that they name. Errors are raised, and
``failures.py`` says them in one line. Answers go to stdout, everything else to stderr.
"""

from gpt4all.cli.main import main as main
