"""`run_fn` of the GAN: what it writes, and that it goes on where it was broken off."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import training
from models.export import Generator
from models.options import GANOptions

SMALL = GANOptions(width=8, latent={"dim": 8}, batch_size=16, steps=40, checkpoint_every=20)


def values(gan):
    return [variable.numpy() for variable in gan.state()]


def trained(options, examples, directory, seed=0):
    gan = training.build(options, examples, 10, {}, seed)
    training.train(gan, options, examples, seed, directory)
    return gan


def test_generated_labels_follow_the_options():
    def probabilities(**kwargs):
        return training.fake_label_probabilities(GANOptions(**kwargs), [30, 10], [100, 1]).tolist()

    assert probabilities(fake_labels="data") == [0.75, 0.25]
    assert probabilities(fake_labels="uniform") == [0.5, 0.5]
    assert probabilities(fake_labels="power", fake_labels_alpha=0.5) == pytest.approx([10 / 11, 1 / 11])
    assert doctest.testmod(training).failed == 0


class Killed(Exception):
    """What breaks a run off."""


def test_a_run_that_was_broken_off_ends_with_the_very_same_weights(digits, tmp_path, monkeypatch):
    options = SMALL.model_copy(update={"steps": 60})  # two calls of 30 steps
    undisturbed = trained(options, digits.train, tmp_path / "a")

    def killed(self, epoch, logs=None):
        saves(self, epoch, logs)
        raise Killed

    saves = training.Checkpoint.on_epoch_end
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Checkpoint, "on_epoch_end", killed)
        trained(options, digits.train, tmp_path / "b")
    resumed = trained(options, digits.train, tmp_path / "b")
    assert resumed.step.numpy() == 60
    for one, other in zip(values(undisturbed), values(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    steps = [json.loads(line)["step"] for line in (tmp_path / "b" / "history.jsonl").read_text().splitlines()]
    assert steps == [30, 60]


def test_a_finished_training_is_not_trained_again(digits, tmp_path):
    first = trained(SMALL, digits.train, tmp_path)
    history = (tmp_path / "history.jsonl").read_text()
    again = trained(SMALL, digits.train, tmp_path)
    assert all(map(np.array_equal, values(first), values(again)))
    assert (tmp_path / "history.jsonl").read_text() == history


def test_training_that_diverges_stops_and_names_the_last_good_checkpoint(digits, tmp_path):
    gan = training.build(SMALL, digits.train, 10, {}, seed=0)
    gan.generator.trainable_variables[0].assign(gan.generator.trainable_variables[0] * np.nan)
    with pytest.raises(
        FloatingPointError, match=r"between steps 1 and 40: .*g_loss is nan.*last good checkpoint: none"
    ):
        training.train(gan, SMALL, digits.train, 0, tmp_path)
    assert not list(tmp_path.glob("ckpt*"))


def test_a_key_changes_with_configuration_data_seed_and_code(digits):
    base = (SMALL, digits.train, {"class_weights": [1.0] * 10}, 0, "c")
    others = [
        (SMALL.model_copy(update={"width": 12}), *base[1:]),
        (SMALL, digits.eval, *base[2:]),
        (*base[:2], {"class_weights": [2.0] * 10}, 0, "c"),
        (*base[:3], 1, "c"),
        (*base[:4], "d"),
    ]
    assert training.training_key(*base) == training.training_key(*base)
    assert len({training.training_key(*args) for args in (base, *others)}) == 6
    saved_otherwise = base[0].model_copy(update={"checkpoint_every": 7, "keep_checkpoints": 9})
    assert training.training_key(saved_otherwise, *base[1:]) == training.training_key(*base)


@pytest.mark.e2e
def test_run_fn_gives_the_same_generator_in_every_process(fn_args):
    args = fn_args(
        hyperparameters={"class_weights": [1.0] * 10, "counts_before": [10] * 10, "counts_after": [150] * 10},
        options=SMALL.model_dump_json(),
    )
    training.run_fn(args)
    fingerprint = Generator(args.serving_model_dir).fingerprint
    # From the checkpoint of the last step, and trained anew.
    for root in (args.custom_config["checkpoint_root"], str(Path(args.model_run_dir) / "elsewhere")):
        again = fn_args(hyperparameters=args.hyperparameters, options=SMALL.model_dump_json(), checkpoint_root=root)
        program = f"import types; from models.training import run_fn; run_fn(types.SimpleNamespace(**{vars(again)!r}))"
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        assert Generator(again.serving_model_dir).fingerprint == fingerprint


def test_run_fn_writes_a_generator_and_its_history(fn_args):
    args = fn_args(options=SMALL.model_copy(update={"steps": 2}).model_dump_json())
    training.run_fn(args)
    generator = Generator(args.serving_model_dir)
    assert generator.generate(np.arange(10), np.zeros(10, np.int64)).shape == (10, 8, 8, 1)
    (row,) = map(json.loads, (Path(args.model_run_dir) / "history.jsonl").read_text().splitlines())
    assert row.keys() == {"step", "steps_per_second", "d_loss", "g_loss", "d_real", "d_fake"} and row["step"] == 2
