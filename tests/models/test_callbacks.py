"""Progress, history, checkpoints, and the stop at losses gone wild."""

import doctest
import json
import logging

import numpy as np
import pytest
import tensorflow as tf

from models import callbacks
from models.callbacks import Checkpoint, Progress, StopOnNaN


def test_the_example_holds():
    assert doctest.testmod(callbacks).failed == 0


def finish(progress, first_epoch, last_epoch):
    progress.on_train_begin()
    for epoch in range(first_epoch, last_epoch):
        progress.on_epoch_end(epoch, {"loss": float(epoch)})


def test_history_has_a_line_a_call(tmp_path):
    history = tmp_path / "run" / "history.jsonl"
    finish(Progress("GAN", 30, 10, history), 0, 3)
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(10, 0.0), (20, 1.0), (30, 2.0)]
    assert all(row["steps_per_second"] > 0 for row in rows)


def test_history_goes_on_where_the_checkpoint_was(tmp_path):
    history = tmp_path / "history.jsonl"
    finish(Progress("GAN", 50, 10, history), 0, 3)
    history.write_text(history.read_text() + '{"step": 40, "lo')  # killed while it wrote
    finish(Progress("GAN", 50, 10, history, done=20), 2, 5)
    assert [json.loads(line)["step"] for line in history.read_text().splitlines()] == [10, 20, 30, 40, 50]


def test_progress_tells_the_last_step_and_nothing_too_often(tmp_path, caplog):
    caplog.set_level(logging.INFO, "tailgan")
    finish(Progress("Judge", 30, 10, tmp_path / "history.jsonl"), 0, 3)
    (record,) = caplog.records
    told = record.progress
    assert (told["task"], told["step"], told["steps"], told["losses"]) == ("Judge", 30, 30, {"loss": 2.0})
    assert told["steps_per_second"] > 0 and told["eta_seconds"] == 0


def test_progress_tells_the_time_that_is_left(tmp_path, caplog, monkeypatch):
    clock = iter([0.0, 5.0, 10.0])
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO, "tailgan")
    finish(Progress("GAN", 100, 10, tmp_path / "history.jsonl"), 0, 2)
    assert [(r.progress["steps_per_second"], r.progress["eta_seconds"]) for r in caplog.records] == [
        (2.0, 45.0),
        (2.0, 40.0),
    ]


@pytest.fixture
def saved(tmp_path):
    """A function that makes (step, value, checkpoint) anew, all on one directory."""

    def make(every=10, keep=2):
        step, value = tf.Variable(0, dtype=tf.int64), tf.Variable([0.0, 0.0])
        return step, value, Checkpoint(step, [step, value], tmp_path / "checkpoints", every, keep)

    return make


def go(step, value, checkpoint, until, per_call=5):
    for now in range(int(step.numpy()) + per_call, until + 1, per_call):
        step.assign(now)
        value.assign([now, -now])
        checkpoint.on_epoch_end(now // per_call - 1)


def test_checkpoints_come_every_so_many_steps_and_the_last_are_kept(saved, tmp_path):
    go(*saved(), until=35)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index")) == ["ckpt-20.index", "ckpt-30.index"]


def test_the_last_step_is_saved_once(saved):
    step, value, checkpoint = saved()
    go(step, value, checkpoint, until=25)
    checkpoint.on_train_end()
    assert checkpoint.latest.endswith("ckpt-25")


def test_the_newest_is_restored(saved):
    go(*saved(), until=25)
    step, value, checkpoint = saved()
    assert checkpoint.restore() == 20 == step.numpy()
    np.testing.assert_array_equal(value, [20, -20])


def test_nothing_is_restored_where_nothing_is(saved):
    _, value, checkpoint = saved()
    value.assign([7, 7])
    assert checkpoint.restore() == 0 and checkpoint.latest is None
    np.testing.assert_array_equal(value, [7, 7])


def test_a_broken_checkpoint_is_told_and_the_one_before_is_taken(saved, tmp_path, caplog):
    go(*saved(), until=20)
    (broken,) = (tmp_path / "checkpoints").glob("ckpt-20.data*")
    broken.write_bytes(broken.read_bytes()[:3])
    step, value, checkpoint = saved()
    assert checkpoint.restore() == 10 == step.numpy()
    np.testing.assert_array_equal(value, [10, -10])
    assert "ckpt-20 cannot be read" in caplog.text


def test_a_state_of_another_shape_is_not_taken(saved, tmp_path):
    go(*saved(), until=10)
    step, other = tf.Variable(0, dtype=tf.int64), tf.Variable([1.0, 2.0, 3.0])
    assert Checkpoint(step, [step, other], tmp_path / "checkpoints", 10, 2).restore() == 0
    np.testing.assert_array_equal(other, [1, 2, 3])


def test_a_figure_that_is_no_number_stops_training_and_names_everything(saved):
    step, value, checkpoint = saved()
    go(step, value, checkpoint, until=10)
    first_bad = {name: tf.Variable(bad, dtype=tf.int64) for name, bad in (("d_loss", -1), ("g_loss", 73), ("d_r1", 73))}
    stop = StopOnNaN(first_bad, checkpoint)
    with pytest.raises(
        FloatingPointError, match=r"in step 73: not finite: g_loss, d_r1; last good checkpoint: .*ckpt-10$"
    ):
        stop.on_epoch_end(1)
    stop.on_train_begin()  # another attempt
    stop.on_epoch_end(1)
