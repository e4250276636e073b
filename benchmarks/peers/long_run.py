"""Memory of a long training, and what its callbacks cost: run by benchmarks/train_step.py."""

import logging
import tempfile
import time
from collections import Counter
from pathlib import Path

import keras
from tailgan_step import CLASSES, examples

from models import training
from models.build import build_gan
from models.options import GANOptions

LONG = GANOptions(network="mlp", width=32, batch_size=16, steps=10_000)
USUAL = GANOptions(steps=1500)  # with checkpoints as often as by default


def resident() -> float:
    """MiB of this process, now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def train(options: GANOptions, side: int) -> float:
    """A training by `models.training`, checkpoints and all; wall seconds."""
    data = examples(2048, [side, side, 1])
    with tempfile.TemporaryDirectory() as folder:
        gan = build_gan(options, data, [str(label) for label in range(CLASSES)], {}, 0, Path(folder))
        start = time.perf_counter()
        training.train(gan, options, data, 0, Path(folder))
        return time.perf_counter() - start


class Memory(logging.Handler):
    """Notes the memory at each report of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[int, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "progress"):
            self.at.append((record.progress["step"], resident()))


def memory() -> None:
    """Prints the memory of a long training after its first and after its last thousand steps."""
    handler = Memory()
    log = logging.getLogger("tailgan")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    train(LONG, 8)
    log.removeHandler(handler)
    (first, before), (last, after) = next(row for row in handler.at if row[0] >= 1000), handler.at[-1]
    print(f"\nMemory: {before:.0f} MiB after {first} steps, {after:.0f} MiB after {last}.")


def callbacks() -> None:
    """Prints what part of the time of a training its callbacks take."""
    took: Counter[str] = Counter()

    def timed(kind: type[keras.callbacks.Callback]) -> type[keras.callbacks.Callback]:
        def on_epoch_end(self: keras.callbacks.Callback, epoch: int, logs: dict | None = None) -> None:
            start = time.perf_counter()
            kind.on_epoch_end(self, epoch, logs)
            took[kind.__name__] += time.perf_counter() - start

        return type(kind.__name__, (kind,), {"on_epoch_end": on_epoch_end})

    for name, kind in list(vars(training).items()):
        if isinstance(kind, type) and issubclass(kind, keras.callbacks.Callback):
            setattr(training, name, timed(kind))
    seconds = train(USUAL, 28)
    print(f"\n| callback, of {USUAL.steps} steps of the default network at 28x28x1 | part of the time |\n|---|---|")
    for name, own in took.most_common():
        print(f"| {name} | {100 * own / seconds:.2f} % |")


if __name__ == "__main__":
    memory()
    callbacks()
