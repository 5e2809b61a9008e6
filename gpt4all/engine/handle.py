"""The class of ``GPT4All.model``."""

from __future__ import annotations

from gpt4all.engine.loaded_model import LoadedModel


class ModelHandle:
    """The loaded model underneath a ``GPT4All``, as its attribute ``model``.

    Example:
        >>> model.model.count_prompt_tokens("Hello, world!")
        4
        >>> model.model.backend
        'cpu'
        >>> model.model.n_ctx
        1024
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @property
    def model_path(self) -> str:
        """Path of the model's file."""
        return self._loaded.model_path

    @property
    def backend(self) -> str:
        """Name of the backend in use: ``"cpu"``, ``"kompute"``, ``"cuda"`` or ``"metal"``."""
        return self._loaded.backend

    @property
    def device(self) -> str | None:
        """Name of the GPU in use, without its backend; ``None`` on the CPU and with Metal."""
        return self._loaded.device

    @property
    def n_ctx(self) -> int:
        """Tokens of the context, as loaded: prompt and answer together."""
        return self._loaded.info.n_ctx

    @property
    def token_eos(self) -> int | None:
        """Id of the token by which the model ends a text; ``None`` where its vocabulary has none."""
        return self._loaded.info.token_eos

    def set_thread_count(self, n_threads: int) -> None:
        """Sets the CPU threads; waits for a running call.

        Args:
            n_threads: 1 to 512. More than can run at once get a warning.

        Raises:
            ValueError, TypeError: it is no such number, or the model is closed.

        Example:
            >>> model.model.set_thread_count(1)
            >>> model.model.thread_count()
            1
        """
        self._loaded.set_thread_count(n_threads)

    def thread_count(self) -> int:
        """CPU threads in use.

        Returns:
            What ``n_threads`` or ``set_thread_count`` said last.

        Raises:
            ValueError: the model is closed.

        Example:
            >>> model.model.thread_count() >= 1
            True
        """
        return self._loaded.thread_count()

    def count_prompt_tokens(self, text: str) -> int:
        """Length of a prompt in tokens, as ``GPT4All.generate`` reads it outside a session.

        Args:
            text: the prompt; control tokens in it count as such.

        Returns:
            The number of tokens, with the begin token where the model wants one.

        Raises:
            ValueError, TypeError: it is no text, or the model is closed.

        Example:
            >>> model.model.count_prompt_tokens("Hello, world!")
            4
        """
        return len(self._loaded.prompt_tokens(text))

    def close(self) -> None:
        """Stops a running call and frees the model; closing twice is fine.

        Example:
            >>> model = GPT4All("SmolLM2-135M-Instruct.Q4_1.gguf")
            >>> model.model.close()  # as model.close() does
        """
        self._loaded.close()
