"""From the words of the command line to the command they name, and to an exit status."""

# Everything that is imported here, all commands wait for, --help too.
from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpt4all.cli.parser import Parser

#: A command, or another name of it: its module here, and what it does in a line.
COMMANDS = {
    "chat": ("chat", "talk with a model (also: gpt4all repl)"),
    "ask": ("ask", "answer one question, from the arguments or stdin"),
    "batch": ("batch", "answer many prompts, several at once: JSONL in, JSONL out"),
    "embed": ("embed", "turn texts into vectors: JSONL, .npy or CSV"),
    "serve": ("serve", "serve models over HTTP, as OpenAI does, with a chat page"),
    "models": ("models", "list, search, download, verify, delete models, and tell what they need"),
    "bench": ("bench", "measure how fast a model is here"),
    "doctor": ("doctor", "tell whether generation works here, and the facts for a bug report"),
    "completion": ("completion", "write a script for completion in a shell"),
}
ALIASES = {"repl": "chat"}

_HELP = """usage: gpt4all COMMAND [ARGUMENT ...]

Run language models on this machine.

commands:
{commands}

Each has a --help of its own. MODEL is a file, the name of a catalogue model or of one on this machine, an address, or a
Hugging Face repository such as owner/repository:Q4_K_M; without it, a model that is here, else a small one is fetched.

exit status: 0 done, 1 failed, 2 wrong arguments or input, 3 no such model, 4 no such device or too little memory,
5 done in part, 130 after Ctrl-C, 141 when the reader of the output has left. -v shows more of what happens.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words after ``gpt4all``; those of this process without them.

    Returns:
        The exit status, as ``gpt4all --help`` tells it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words else "--help"
    if name in ("-h", "--help", "help") and not words:
        lines = "\n".join(f"  {name:11} {line}" for name, (_, line) in COMMANDS.items())
        return _tell(_HELP.format(commands=lines))
    if name in ("-V", "--version"):
        from gpt4all import __version__

        return _tell(f"gpt4all {__version__}\n")
    if name == "help":
        name, words = words[0], ["--help"]
    from gpt4all.cli import failures

    return failures.guarded(lambda: _run(name, words), verbose="-v" in words or "--verbose" in words)


def _tell(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, AttributeError):  # full, or closed; what can say so is imported only then
        from gpt4all.cli import failures

        def again() -> int:
            print(text, end="")
            return 0

        return failures.guarded(again, verbose=False)
    return 0


def _run(name: str, words: Sequence[str]) -> int:
    from gpt4all.cli.failures import UsageError

    name = ALIASES.get(name, name)
    if name not in COMMANDS:
        from difflib import get_close_matches

        close = get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
        hint = f"did you mean {close[0]}?" if close else "gpt4all --help lists them"
        raise UsageError(f"there is no command {name!r}; {hint}")
    parser = command_parser(name)
    options = parser.parse(words)
    return int(options.run(options))


def command_parser(name: str) -> Parser:
    """The parser of a command, whose module is imported for it."""
    import importlib

    from gpt4all.cli.parser import Parser

    module_name, line = COMMANDS[name]
    module = importlib.import_module(f"gpt4all.cli.{module_name}")
    parser = Parser(prog=f"gpt4all {name}", description=module.__doc__ or line)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser
