"""Runs in the finished program, before its own first line.

GPU drivers are asked in a child process. There is no Python to start in a packaged program, so the program is started
again, and this is where that child turns aside.
"""


def _answer_for_devices() -> None:
    import sys

    # What probe_process looks for, and the argument that it passes.
    setattr(sys, "_gpt4all_answers", "--gpt4all-devices-of")  # noqa: B010
    if len(sys.argv) == 3 and sys.argv[1] == "--gpt4all-devices-of":
        from gpt4all._native.drivers import report

        report.main(sys.argv[2])


_answer_for_devices()
del _answer_for_devices
