"""What happens between two calls of the training graph: progress, history, checkpoints, and a stop at losses gone wild.

Training runs `steps_per_call` steps in one call of the graph, and each call is an epoch to Keras.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from models.files import write_whole
from models.replicas import replicas

HISTORY_FILE = "history.jsonl"
REPORT_INTERVAL = 2.0  # seconds
TOLD = ("loss", "d_loss", "g_loss", "accuracy")  # on the screen; all else is in the history

log = logging.getLogger("tailgan")


def steps_per_call(steps: int, at_most: int = 50) -> int:
    """Steps that run in one call of the graph; the last call may have fewer.

    >>> steps_per_call(2000), steps_per_call(7)
    (50, 7)
    """
    return min(steps, at_most)


def steps_per_execution(steps: int) -> int:
    """What Keras is told of it: Keras's loop over several steps cannot read an iterator that is spread over devices."""
    return steps_per_call(steps) if replicas() == 1 else 1


class Progress(keras.callbacks.Callback):
    """Tells the logger `tailgan` how far training is, and writes a line of history for every call.

    A log record has `progress`: `task`, `step`, `steps`, `steps_per_second`, `losses` ({name: mean of the last call})
    and `eta_seconds`. A line of history is a JSON object of `step`, `steps_per_second` and all of the logs: what
    callbacks before this one have added to them, too.
    """

    def __init__(self, task: str, steps: int, per_call: int, history: Path, done: int = 0):
        """Takes what it tells.

        Args:
          task: what is trained.
          steps: steps in all.
          per_call: steps of a call.
          history: the file; lines of steps after `done`, left by a run that was broken off, are dropped.
          done: steps that an earlier run has made.
        """
        super().__init__()
        self.task, self.steps, self.per_call, self.history, self.done = task, steps, per_call, history, done

    def on_train_begin(self, logs=None) -> None:
        """Starts the clock and takes up the history."""
        lines = self.history.read_text(encoding="utf-8").splitlines(keepends=True) if self.history.exists() else []
        self.history.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.history, "".join(line for line in lines if self._is_kept(line)))
        self._begun = self._called = self._reported = time.monotonic()

    def _is_kept(self, line: str) -> bool:
        # A run that was killed may have left half a line.
        return line.endswith("}\n") and json.loads(line)["step"] <= self.done

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Writes a line of history, and reports if the last report is long enough ago."""
        now, step = time.monotonic(), min((epoch + 1) * self.per_call, self.steps)
        logs = logs or {}
        rate, self._called = self.per_call / (now - self._called), now
        with self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "steps_per_second": round(rate, 2), **logs}) + "\n")
        if now - self._reported >= REPORT_INTERVAL or step == self.steps:
            self._reported = now
            mean_rate = (step - self.done) / (now - self._begun)
            progress = {
                "task": self.task,
                "step": step,
                "steps": self.steps,
                "steps_per_second": mean_rate,
                "losses": {name: logs[name] for name in TOLD if name in logs},
                "eta_seconds": (self.steps - step) / mean_rate,
            }
            log.info("%s: step %d of %d", self.task, step, self.steps, extra={"progress": progress})


class Checkpoint(keras.callbacks.Callback):
    """Saves variables every so many steps and at the end, and finds the newest of them again."""

    def __init__(self, step: tf.Variable, state: Sequence[tf.Variable], directory: Path, every: int, keep: int):
        """Takes what is saved, and where.

        Args:
          step: counts the steps; one of `state`.
          state: all that training changes.
          directory: of this very training: nothing else may write there.
          every: steps between checkpoints, rounded up to whole calls.
          keep: how many checkpoints are kept.
        """
        super().__init__()
        self.step, self.every = step, every
        self._checkpoint = tf.train.Checkpoint(state=list(state))
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(directory), max_to_keep=keep)
        self._saved_step = 0

    @property
    def latest(self) -> str | None:
        """Path of the newest checkpoint."""
        return self._manager.latest_checkpoint

    def restore(self) -> int:
        """Restores the newest checkpoint that can be read.

        Returns:
          Its step; 0 where there is none, with nothing changed.
        """
        initial = [variable.numpy() for variable in self._checkpoint.state]
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
                log.warning(
                    "checkpoint %s cannot be read, trying the one before: %s", path, str(error).partition("\n")[0]
                )
                for variable, value in zip(self._checkpoint.state, initial, strict=True):
                    variable.assign(value)
            else:
                break
        self._saved_step = int(self.step.numpy())
        return self._saved_step

    def save_first(self) -> None:
        """Saves what there is before the first step, unless there is a checkpoint already."""
        if self.latest is None:
            self._save()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Saves if it is time to."""
        if int(self.step.numpy()) >= self._saved_step + self.every:
            self._save()

    def on_train_end(self, logs=None) -> None:
        """Saves the last step."""
        if int(self.step.numpy()) > self._saved_step:
            self._save()

    def _save(self) -> None:
        self._saved_step = int(self.step.numpy())
        self._manager.save(self._saved_step)


class StopOnNaN(keras.callbacks.Callback):
    """Stops training whose figures are no longer numbers. Put it before `Checkpoint`, so that none of that is saved."""

    def __init__(self, first_bad: Mapping[str, tf.Variable], checkpoint: Checkpoint):
        """Takes the step in which each figure was first not finite (-1: never), and the checkpoints."""
        super().__init__()
        self.first_bad, self.checkpoint = first_bad, checkpoint

    def on_train_begin(self, logs=None) -> None:
        """Forgets what an earlier attempt ran into."""
        for variable in self.first_bad.values():
            variable.assign(-1)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Looks at the figures of a call.

        Raises:
          FloatingPointError: naming the step, the figures and the last good checkpoint.
        """
        steps = {name: int(variable.numpy()) for name, variable in self.first_bad.items()}
        step = min((step for step in steps.values() if step >= 0), default=None)
        if step is not None:
            names = ", ".join(name for name in steps if steps[name] == step)
            raise FloatingPointError(
                f"training diverged in step {step}: not finite: {names}; last good checkpoint: "
                f"{self.checkpoint.latest or 'none'}"
            )
