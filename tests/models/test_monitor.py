"""Looks at a training: what they see, where they write it, and that training does not notice."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models import training
from models.callbacks import Checkpoint
from models.monitor import Monitor, _above, _mean_distance
from models.options import GANOptions, MonitorOptions

SMALL = GANOptions(width=8, latent={"dim": 8}, batch_size=16, steps=120, checkpoint_every=50, monitor={"every": 50})


@pytest.fixture
def watch(digits, make, tmp_path):
    """A function: directory, options, MonitorOptions -> (GAN, Monitor) before the first step."""

    def start(directory="a", options=SMALL, heldout=digits.eval):
        gan = training.build(options, digits.train, make.info_of(digits.train).classes, {}, 0, tmp_path / directory)
        info = make.info_of(digits.train)
        return gan, Monitor(gan, digits.train, heldout, info, options.monitor, options.steps, tmp_path / directory, 0)

    return start


def rows(directory):
    return [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]


def looks(directory):
    return [row for row in rows(directory) if "overfitting" in row]


def test_the_probability_of_being_above():
    assert _above(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)


def test_the_mean_distance_is_that_of_different_images():
    images = np.zeros((3, 1, 2, 1), np.uint8)
    images[1, 0, :, 0] = 3, 4
    assert _mean_distance(images) == pytest.approx((5 + 5 + 0) / 3)
    assert _mean_distance(images[:1]) == 0
    assert _mean_distance(np.full((4, 8, 8, 3), 201, np.uint8)) == 0


def test_a_fresh_discriminator_does_not_overfit(watch):
    _, monitor = watch()
    assert monitor.look()[0]["overfitting"] == pytest.approx(0.5, abs=0.1)


def test_a_discriminator_that_knows_its_images_by_heart_is_told(watch, digits, caplog):
    gan, monitor = watch()
    images = tf.constant(np.concatenate([*monitor._real.values(), *monitor._heldout.values()]), tf.float32) / 127.5 - 1
    labels = tf.constant(
        [k for images in (monitor._real, monitor._heldout) for k, of_class in images.items() for _ in of_class]
    )
    known = sum(map(len, monitor._real.values()))
    sign = tf.where(tf.range(len(labels)) < known, 1.0, -1.0)
    network, optimizer = gan.discriminator, keras.optimizers.Adam(3e-3)

    @tf.function
    def learn():
        with tf.GradientTape() as tape:
            logit = network([images, tf.cast(labels, tf.int64)], training=True)["logit"]
            loss = tf.reduce_mean(tf.nn.softplus(-20 * sign * logit))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables, strict=True)
        )

    for _ in range(150):
        learn()
    figures, _ = monitor.look()
    assert figures["overfitting"] > 0.9 and figures["d_train"] > figures["d_heldout"]
    monitor._step = 0
    monitor._warn(figures)
    assert "knows its training images by heart" in caplog.text


def one_image_of(gan, label):
    """Makes the averaged generator give one image for all z of a class: its gains become 0."""
    for table in [table for table in gan.ema.weights if "gain" in table.path]:
        values = table.numpy()
        values[label] = 0
        table.assign(values)


def test_a_class_of_one_image_is_told_by_its_name_and_once(watch, caplog):
    gan, monitor = watch()
    for table in gan.ema.weights:  # as if it had learned to tell z apart
        if "gain" in table.path:
            table.assign(20 * table)
    monitor._step = 50
    for label in (3, 3, 7):
        one_image_of(gan, label)
        figures, _ = monitor.look()
        monitor._warn(figures)
    assert figures["diversity_by_class"]["3"] == figures["diversity_worst"] == 0
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2 and "3 (0%)" in told[0] and "7 (0%)" not in told[0] and "7 (0%)" in told[1]


def test_an_alarm_that_went_and_came_back_is_told_again(watch, caplog):
    _, monitor = watch()
    monitor._step = 50
    for overfitting in (0.9, 0.9, 0.6, 0.9):
        monitor._warn({"overfitting": overfitting})
    assert len(caplog.records) == 2


def test_a_class_of_one_training_image_has_no_diversity(watch, digits, make):
    images, labels = digits.train.images.copy(), digits.train.labels
    images[labels == 9] = images[labels == 9][0]
    gan, _ = watch()
    train = make.examples_of(images, labels)
    monitor = Monitor(gan, train, digits.eval, make.info_of(train), MonitorOptions(), 10, None, 0)
    figures, _ = monitor.look()
    assert figures["diversity_by_class"]["9"] is None and figures["diversity_worst"] > 0


def test_held_out_images_may_lack_a_class_or_all(watch, digits, make):
    few = digits.eval.labels == 4
    _, monitor = watch(heldout=make.examples_of(digits.eval.images[few], digits.eval.labels[few]))
    assert 0 <= monitor.look()[0]["overfitting"] <= 1
    _, monitor = watch(heldout=make.examples_of(digits.eval.images[:0], digits.eval.labels[:0]))
    assert "overfitting" not in monitor.look()[0]


def test_training_does_not_notice_and_everything_is_written(watch, digits, make, tmp_path):
    gan, monitor = watch()
    training.train(gan, SMALL, digits.train, 0, tmp_path / "a", monitor)
    unwatched = training.build(SMALL, digits.train, make.info_of(digits.train).classes, {}, 0, tmp_path)
    training.train(unwatched, SMALL, digits.train, 0, tmp_path / "b")
    for one, other in zip(gan.state(), unwatched.state(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())

    assert [row["step"] for row in looks(tmp_path / "a")] == [50, 100, 120]
    (last,) = looks(tmp_path / "a")[-1:]
    assert last.keys() >= {
        "d_train", "d_heldout", "d_generated", "overfitting", "diversity", "diversity_worst", "d_loss", "g_gradient"
    }  # fmt: skip
    assert list(last["diversity_by_class"]) == list("9876543210")
    assert last["diversity_worst"] == min(last["diversity_by_class"].values())

    out = tmp_path / "published"
    out.mkdir()
    monitor.publish(out)
    assert sorted(p.name for p in (out / "samples").iterdir()) == [f"step-{step:06d}.png" for step in (50, 100, 120)]
    png = tf.io.decode_png((out / "samples" / "step-000120.png").read_bytes())
    assert png.shape == (10 * 8, 8 * 8, 1)
    assert (out / "showcase.npz").is_file()
    events = EventAccumulator(str(out / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    assert [event.step for event in events.Scalars("loss/d_loss")] == [50, 100, 120]
    assert [event.step for event in events.Images("samples")] == [50, 100, 120]
    assert events.Scalars("monitor/overfitting")[-1].value == pytest.approx(last["overfitting"])
    assert {"speed/steps_per_second", "gradient/g_gradient", "logit/d_heldout", "diversity_by_class/9"} <= set(
        events.Tags()["scalars"]
    )


class Killed(Exception):
    """What breaks a run off."""


def test_a_resumed_training_gives_equal_figures_each_once(watch, digits, tmp_path, monkeypatch):
    undisturbed, monitor = watch("a")
    training.train(undisturbed, SMALL, digits.train, 0, tmp_path / "a", monitor)

    def killed(self, epoch, logs=None):
        if epoch == 1:  # step 100 has been looked at, and is not saved
            raise Killed
        saves(self, epoch, logs)

    saves = Checkpoint.on_epoch_end
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "on_epoch_end", killed)
        gan, monitor = watch("b")
        training.train(gan, SMALL, digits.train, 0, tmp_path / "b", monitor)
    assert [row["step"] for row in looks(tmp_path / "b")] == [50, 100]
    (tmp_path / "b" / "samples" / "step-000110.png").touch()  # of another interval, say
    gan, monitor = watch("b")
    training.train(gan, SMALL, digits.train, 0, tmp_path / "b", monitor)

    def told(directory):
        return [{name: row[name] for name in row if name != "steps_per_second"} for row in rows(directory)]

    assert told(tmp_path / "a") == told(tmp_path / "b")
    events = EventAccumulator(str(tmp_path / "b" / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    assert [event.step for event in events.Scalars("monitor/overfitting")] == [50, 100, 120]
    names = sorted(path.name for path in (tmp_path / "b" / "samples").iterdir())
    assert names == ["step-000050.png", "step-000100.png", "step-000120.png"]
    for name in names:
        assert (tmp_path / "a/samples" / name).read_bytes() == (tmp_path / "b/samples" / name).read_bytes()


def test_looks_come_once_in_so_many_steps_however_many_a_call_has(watch, digits, tmp_path):
    options = SMALL.model_copy(update={"monitor": MonitorOptions(every=70)})
    gan, monitor = watch("a", options)
    training.train(gan, options, digits.train, 0, tmp_path / "a", monitor)
    assert [row["step"] for row in looks(tmp_path / "a")] == [100, 120]
