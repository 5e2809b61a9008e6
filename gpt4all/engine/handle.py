"""What ``GPT4All.model`` gives to programs."""

from __future__ import annotations

from gpt4all.engine.loaded_model import LoadedModel


class ModelHandle:
    """The loaded model underneath a :class:`gpt4all.GPT4All`, as its attribute ``model``."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @property
    def model_path(self) -> str:
        """The model's file."""
        return self._loaded.model_path

    @property
    def backend(self) -> str:
        """Name of the backend that runs it."""
        return self._loaded.backend

    @property
    def device(self) -> str | None:
        """Name of its GPU; ``None`` on the CPU and with Metal."""
        return self._loaded.device

    def set_thread_count(self, n_threads: int) -> None:
        """Sets the CPU threads; waits for a running call."""
        self._loaded.set_thread_count(n_threads)

    def thread_count(self) -> int:
        """CPU threads in use."""
        return self._loaded.thread_count()

    def count_prompt_tokens(self, text: str) -> int:
        """Tokens of ``text`` as :meth:`gpt4all.GPT4All.generate` would read it outside a session."""
        return len(self._loaded.prompt_tokens(text))

    def close(self) -> None:
        """Stops a running call and frees the model; closing twice is fine."""
        self._loaded.close()
