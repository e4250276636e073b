"""What a person sees of a run: a line a node, and how far training is."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal

_MARKS = {
    "complete": "[green]done[/]   ",
    "cached": "[cyan]cached[/] ",
    "failed": "[red]failed[/] ",
    "stopped": "[yellow]stopped[/]",
}


@contextmanager
def logs_to(path: Path | None) -> Iterator[TextIO]:
    """Sends all that TFX, TensorFlow and Beam print to a file, and yields a stream that still reaches the screen.

    The file descriptors themselves are redirected, for TensorFlow writes from C++. With `path` None nothing is.
    """
    if path is None:
        yield sys.stdout
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with open(path, "ab", buffering=0) as log, os.fdopen(os.dup(1), "w", buffering=1) as screen:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield screen
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, copy in enumerate(saved, start=1):
                os.dup2(copy, target)
                os.close(copy)


def log_everything() -> None:
    """Lets TFX and Beam log what they do, which Python's logging would hide below warnings."""
    from absl import logging as absl_logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    absl_logging.set_verbosity(absl_logging.INFO)


class Display(logging.Handler):
    """Shows the nodes of a run and the records of the logger `tailgan`.

    A record may carry `progress`, a dict with `task`, `step`, `steps`, `steps_per_second`, `losses` and `eta_seconds`.
    On a terminal it moves a bar; elsewhere it becomes a plain line, at most one in `PLAIN_INTERVAL` seconds.
    """

    def __init__(self, stream: TextIO, logged: bool):
        """Takes the stream to show things on, and whether the records go to the log as well, which is another."""
        super().__init__(logging.INFO)
        self._logged = logged
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last_line = 0.0
        self._width = 0

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._bar.start()
        logger = logging.getLogger("tailgan")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = self._logged
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tailgan").removeHandler(self)
        self._bar.stop()

    def busy(self, what: str) -> None:
        """Shows that something is going on that has no steps."""
        if self.console.is_terminal:
            self.idle()
            self._task = self._bar.add_task(what, total=None, detail="")

    def idle(self) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def node_started(self, node_id: str, width: int) -> None:
        """A node begins; `width` aligns the names."""
        self._width = width
        self._last_line = time.monotonic()
        self.busy(node_id)

    def node_ended(self, node_id: str, state: str, seconds: float) -> None:
        """A node ended as `complete`, `cached`, `failed` or `stopped`."""
        self.idle()
        self.console.print(f"  {_MARKS[state]}  {node_id:<{self._width}} {seconds:8.1f} s")

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one record."""
        progress = getattr(record, "progress", None)
        if progress is None:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            self.console.print(f"          {record.getMessage()}", style=style, markup=False)
        elif self.console.is_terminal and self._task is not None:
            self._bar.update(
                self._task, completed=progress["step"], total=progress["steps"], detail=_describe(progress)
            )
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL or progress["step"] == progress["steps"]:
            self._last_line = time.monotonic()
            self.console.print(f"          {progress['task']}: {_describe(progress)}", markup=False)


def _describe(progress: dict) -> str:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress["losses"].items())
    eta = progress["eta_seconds"]
    left = f"{eta:.0f} s left" if eta >= 0.5 else ""
    return (
        f"step {progress['step']}/{progress['steps']}  {progress['steps_per_second']:.0f} steps/s  {losses}  {left}"
    ).rstrip()
