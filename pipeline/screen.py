"""Standard streams that are closed, or whose reader is gone: what is said is lost, and nothing else."""

import contextlib
import os
import sys
from typing import Any, TextIO, cast


def open_closed() -> None:
    """Opens the null device for each of standard input, output and error that is closed.

    The next file to be opened would get its number, and be written to by all that prints.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def silence(stream: TextIO) -> None:
    """Has a stream write to the null device from now on, what is in its buffer included."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def lasting(stream: TextIO) -> TextIO:
    """A stream that falls silent when `stream` cannot be written: `head` has seen enough, the terminal is gone."""
    return cast(TextIO, _Lasting(stream))


class _Lasting:
    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
