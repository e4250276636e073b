"""TensorBoard's files, read as TensorBoard reads them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.event_log import EventLog


def read(directory) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory), {"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def steps(directory, tag):
    return [(event.step, event.value) for event in read(directory).Scalars(tag)]


def test_figures_are_grouped_and_those_of_classes_apart(tmp_path):
    log = EventLog(tmp_path, 0)
    log.figures(5, {"d_loss": 1.5, "d_lecam": 0.25, "diversity_by_class": {"cat": 0.5, "one image": None}})
    assert set(read(tmp_path).Tags()["scalars"]) == {"loss/d_loss", "term/d_lecam", "diversity_by_class/cat"}
    assert steps(tmp_path, "loss/d_loss") == [(5, 1.5)]  # before the file is closed


def test_a_picture_is_read_as_it_was_written(tmp_path):
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    log = EventLog(tmp_path, 0)
    log.picture(7, tf.io.encode_png(image).numpy(), 3, 4)
    log.close()
    (event,) = read(tmp_path).Images("samples")
    assert (event.step, event.height, event.width) == (7, 3, 4)
    np.testing.assert_array_equal(tf.io.decode_png(event.encoded_image_string), image)


def write(directory, done, until):
    log = EventLog(directory, done)
    for step in range(done + 10, until + 1, 10):
        log.figures(step, {"g_loss": step + done / 100})
    log.close()


def test_a_resumed_training_has_every_step_once(tmp_path):
    write(tmp_path, 0, 40)
    write(tmp_path, 20, 60)  # killed after step 40, its checkpoint being of step 20
    write(tmp_path, 50, 60)
    values = [(s, pytest.approx(v)) for s, v in [(10, 10), (20, 20), (30, 30.2), (40, 40.2), (50, 50.2), (60, 60.5)]]
    assert steps(tmp_path, "loss/g_loss") == values
    assert len(list(tmp_path.iterdir())) == 1


def test_a_tensorboard_that_looks_on_forgets_what_was_dropped(tmp_path):
    write(tmp_path, 0, 40)
    looking_on = EventAccumulator(str(tmp_path), {"scalars": 0})
    looking_on.Reload()
    write(tmp_path, 20, 30)
    looking_on.Reload()
    assert [event.step for event in looking_on.Scalars("loss/g_loss")] == [10, 20, 30]


def test_what_was_cut_off_is_read_up_to_there(tmp_path):
    write(tmp_path, 0, 40)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    write(tmp_path, 40, 50)
    assert [step for step, _ in steps(tmp_path, "loss/g_loss")] == [10, 20, 30, 50]


def test_a_file_left_behind_by_a_kill_between_two_names_is_not_read_twice(tmp_path):
    write(tmp_path, 0, 20)
    (path,) = tmp_path.iterdir()
    left = path.read_bytes()
    write(tmp_path, 20, 30)
    path.write_bytes(left)
    write(tmp_path, 30, 40)
    assert [step for step, _ in steps(tmp_path, "loss/g_loss")] == [10, 20, 30, 40]
