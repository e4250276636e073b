"""Figures and pictures for TensorBoard, in a file that holds every step once, however often training was broken off.

Events are written as they are defined, without `tf.summary`, whose operations take ten times as long.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event, SessionLog

_PREFIX = "events.out.tfevents."
_GROUPS = {
    "d_loss": "loss",
    "g_loss": "loss",
    "d_gradient": "gradient",
    "g_gradient": "gradient",
    "d_real": "logit",
    "d_fake": "logit",
    "d_train": "logit",
    "d_heldout": "logit",
    "d_generated": "logit",
    "overfitting": "monitor",
    "diversity": "monitor",
    "diversity_worst": "monitor",
    "ada_p": "augmentation",
    "steps_per_second": "speed",
}


class EventLog:
    """Writes TensorBoard's file in a directory of its own."""

    def __init__(self, directory: Path, done: int):
        """Begins a new file with what the one before holds of the steps up to `done`, and removes that.

        So no reader sees what was trained twice, or not at all.
        """
        directory.mkdir(parents=True, exist_ok=True)
        older = sorted(directory.glob(f"{_PREFIX}*"))
        # The newest is complete: it got its name when it held all that was kept of those before it.
        kept = [event for event in _events(older[-1]) if event.step <= done] if older else []
        number = int(older[-1].name.removeprefix(_PREFIX)) + 1 if older else 0
        partial = directory / "partial"
        self._out = tf.io.TFRecordWriter(str(partial))
        self._write(Event(file_version="brain.Event:2"))
        # Makes a TensorBoard that is looking on forget what it has read.
        self._write(Event(session_log=SessionLog(status=SessionLog.START)))
        for event in kept:
            self._out.write(event.SerializeToString())
        self._out.flush()
        partial.replace(directory / f"{_PREFIX}{number:010d}")
        for path in older:
            path.unlink()

    def figures(self, step: int, figures: Mapping[str, Any]) -> None:
        """Writes scalars, one of each class where a figure is {class: scalar}; None is left out."""
        values = []
        for name, value in figures.items():
            if isinstance(value, Mapping):
                values += [(f"{name}/{part}", number) for part, number in value.items()]
            else:
                values.append((f"{_GROUPS.get(name, 'term')}/{name}", value))
        scalars = [Summary.Value(tag=tag, simple_value=number) for tag, number in values if number is not None]
        self._write(Event(step=step, summary=Summary(value=scalars)))
        self._out.flush()

    def picture(self, step: int, png: bytes, height: int, width: int) -> None:
        """Writes a picture."""
        image = Summary.Image(height=height, width=width, encoded_image_string=png)
        self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag="samples", image=image)])))

    def close(self) -> None:
        """Ends the file."""
        self._out.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._out.write(event.SerializeToString())


def _events(path: Path) -> Iterator[Event]:
    """Figures and pictures of a file, which may have been cut off."""
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            if event.HasField("summary"):
                yield event
    except tf.errors.DataLossError:
        return
