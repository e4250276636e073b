"""What a GAN goes on from when a generator serves, and when it begins anew instead."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from metrics.kernel import kernel_distance
from models import training, versions, warm_start
from models.build import build_gan
from models.data import to_uint8
from models.errors import UserError
from models.generator import Generator
from models.options import GANOptions

CLASSES = tuple(map(str, range(10)))
SMALL = {
    "width": 8, "latent": {"dim": 8}, "batch_size": 16, "steps": 20, "checkpoint_every": 20, "helper_steps": 2,
    "export": {"filter": None}, "generator_optimizer": {"schedule": "linear"},
}  # fmt: skip
WARM = {**SMALL, "warm_start": {"steps": 10}}


def run(args) -> dict:
    """Runs it; what the exported generator says of its training."""
    training.run_fn(args)
    return versions.about(Path(args.serving_model_dir))["training"]


def options(**changes) -> str:
    return GANOptions(**{**WARM, **changes}).model_dump_json()


def serve(args, version: int = 1) -> None:
    shutil.copytree(args.serving_model_dir, Path(args.custom_config["serving_dir"]) / str(version))


@pytest.fixture
def served(fn_args):
    """Arguments of a training whose generator serves, and what is known of it."""
    args = fn_args(options=options())
    about = run(args)
    serve(args)
    return args, about


def test_where_none_serves_it_trains_anew_and_says_so(fn_args, caplog):
    caplog.set_level("INFO", logger="tailgan")
    about = run(fn_args(options=options()))
    assert (about["steps"], about["start"], about["anew"]) == (20, None, "no version serves")
    assert "GAN: trained anew, because no version serves" in caplog.text
    assert run(fn_args(options=GANOptions(**SMALL).model_dump_json())) == {**about, "anew": None}  # the same training


def test_it_goes_on_from_the_training_of_what_serves_and_equal_starts_give_equal_weights(served, fn_args, caplog):
    caplog.set_level("INFO", logger="tailgan")
    _, first = served
    args = fn_args(options=options())
    about = run(args)
    assert (about["steps"], about["start"], about["anew"]) == (10, first["directory"], None)
    assert about["directory"] != first["directory"]
    assert f"going on from the training of version 1, which serves ({first['directory']})" in caplog.text
    directory = Path(args.custom_config["checkpoint_root"]) / about["directory"]
    identity = json.loads((directory / "training.json").read_text())
    assert identity["start"] == first["directory"] and identity["options"]["steps"] == 10
    generator = Generator(args.serving_model_dir)
    shutil.rmtree(directory)
    again = fn_args(options=options())
    assert run(again) == about and Generator(again.serving_model_dir).fingerprint == generator.fingerprint
    serve(args, 2)
    third = run(fn_args(options=options()))
    assert third["start"] == about["directory"] and third["directory"] not in (first["directory"], about["directory"])


def test_networks_average_and_moments_go_on_and_all_that_counts_begins_anew(served, digits):
    args, about = served
    chosen = GANOptions(**{**SMALL, "steps": 10})
    identity = training.identity(chosen, digits.train, CLASSES, {}, 0, "c")
    start = warm_start.find(
        identity,
        Path(args.custom_config["serving_dir"]),
        Path(args.custom_config["checkpoint_root"]),
        warm_start.images(args.train_files),
        warm_start.images(args.eval_files),
    )
    assert start.training == about["directory"]
    gan = build_gan(chosen, digits.train, CLASSES, {}, 0)
    warm_start.begin(gan, start)
    assert gan.step.numpy() == 0 and gan.steps_before.numpy() == 20
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        iterations = optimizer.variables[0].numpy()
        assert iterations == 20 and optimizer.schedule.first.numpy() == 20
        assert np.isclose(optimizer.schedule(iterations), optimizer.schedule.options.learning_rate)
    scheduled = gan.generator_optimizer.schedule
    assert np.isclose(scheduled(25), 0.5 * scheduled.options.learning_rate) and scheduled(30).numpy() == 0
    moments = [variable.numpy() for variable in gan.discriminator_optimizer.variables[1:-2]]
    assert all(np.any(moment) for moment in moments if moment.ndim > 1)
    before = [weight.numpy() for weight in gan.ema.weights]
    gan._update_ema()  # decay (1 + 20) / (10 + 20): the average does not forget itself
    for old, now, weight in zip(before, gan.ema.weights, gan.generator.weights, strict=True):
        np.testing.assert_allclose(now, old + 9 / 30 * (weight - old), rtol=1e-4, atol=1e-6)


class Killed(Exception):
    """What breaks a run off."""


def test_a_warm_training_that_was_broken_off_goes_on_in_itself(served, fn_args, monkeypatch):
    longer = options(warm_start={"steps": 60}, checkpoint_every=50)
    undisturbed = fn_args(options=longer)
    about = run(undisturbed)
    shutil.rmtree(Path(undisturbed.custom_config["checkpoint_root"]) / about["directory"])
    saves = training.Checkpoint.on_epoch_end

    def killed(self, epoch, logs=None):
        saves(self, epoch, logs)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Checkpoint, "on_epoch_end", killed)
        training.run_fn(fn_args(options=longer))
    resumed = fn_args(options=longer)
    assert run(resumed) == about
    assert Generator(resumed.serving_model_dir).fingerprint == Generator(undisturbed.serving_model_dir).fingerprint


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 12}, "`gan.width` is other than in the training of version 1, which serves"),
        ({"latent": {"dim": 9}}, "`gan.latent` is other"),
        ({"discriminator": {"dropout": 0.1}}, "`gan.discriminator` is other"),
        ({"generator_optimizer": {"name": "nadam"}}, "`gan.generator_optimizer.name` is other"),
        ({"generator_optimizer": {"learning_rate": 1e-5}, "loss": "non_saturating", "batch_size": 8}, None),
    ],
)
def test_another_network_trains_anew_and_another_loss_or_rate_does_not(served, fn_args, changes, reason):
    about = run(fn_args(options=options(**changes)))
    assert (about["start"] is None) == (reason is not None) and about["steps"] == (20 if reason else 10)
    assert reason is None or reason in about["anew"]


def test_what_is_gone_damaged_or_of_other_classes_is_not_gone_on_from(served, digits, tmp_path):
    args, about = served
    serving, root = Path(args.custom_config["serving_dir"]), Path(args.custom_config["checkpoint_root"])
    chosen = GANOptions(**SMALL)
    train, held_out = warm_start.images(args.train_files), warm_start.images(args.eval_files)

    def anew(names=CLASSES, data=digits.train, serving=serving, root=root):
        start = warm_start.find(training.identity(chosen, data, names, {}, 0, "c"), serving, root, train, held_out)
        assert start.training is None and not start.values
        return start.anew

    assert anew(names=CLASSES[::-1]) == "classes are other than in the training of version 1, which serves"
    assert anew(root=tmp_path) == f"the training of version 1, which serves, is not in {tmp_path / about['directory']}"
    for path in (root / about["directory"]).glob("ckpt-*.index"):
        path.write_bytes(b"damaged")
    assert "can be read" in anew()
    shutil.copytree(serving / "1", serving / "2")
    (serving / "2" / versions.METADATA_FILE).unlink()
    assert anew() == "version 2, which serves, does not say what training it came from"
    (serving / "2" / versions.METADATA_FILE).write_text(json.dumps({"training": {"directory": "../../outside"}}))
    assert "does not say" in anew()


def test_what_has_learned_from_images_that_are_held_out_now_is_not_gone_on_from(served, fn_args):
    args = fn_args(options=options())
    train, held_out = warm_start.images(args.train_files), warm_start.images(args.eval_files)
    assert len(train) and len(held_out) and not np.isin(train, held_out).any()
    args.eval_files = args.train_files
    about = run(args)
    assert about["anew"] == f"version 1, which serves, has learned from {len(train)} images that are held out now"
    args.train_files = fn_args().eval_files
    assert "has learned from none of the images that there are now" in run(args)["anew"]

    # What it went on from counts too.
    start = warm_start.Start(seen=np.array([7], np.uint64))
    warm_start.note(Path(args.custom_config["checkpoint_root"]), start, train)
    seen = np.load(Path(args.custom_config["checkpoint_root"]) / warm_start.SEEN_FILE)
    assert seen.tolist() == sorted({7, *train.tolist()})


def test_variables_that_do_not_fit_are_told(served, digits):
    args, about = served
    gan = build_gan(GANOptions(**{**SMALL, "width": 12}), digits.train, CLASSES, {}, 0)
    values = warm_start.read(Path(args.custom_config["checkpoint_root"]) / about["directory"])
    with pytest.raises(UserError, match=f"`gan.warm_start`: training {about['directory']}, of what serves, had other"):
        warm_start.begin(gan, warm_start.Start(about["directory"], values=values))


@pytest.mark.e2e
def test_what_a_new_training_reaches_a_warm_start_reaches_in_a_quarter_of_the_steps(digits, judge, tmp_path):
    """When two thirds of the rarest class have come since: as `benchmarks/warm_start.py` at more steps and seeds."""
    steps, rare = 400, 9
    of_class = [np.flatnonzero(digits.train.labels == k) for k in range(10)]
    before = [*of_class[:rare], of_class[rare][:4]]
    then, now = (
        digits.train[np.concatenate([np.resize(rows, max(map(len, classes))) for rows in classes])]
        for classes in (before, of_class)
    )

    def trained(name, examples, steps, start=None):
        chosen = GANOptions(steps=steps)
        gan = build_gan(chosen, examples, CLASSES, {}, 0)
        warm_start.begin(gan, start or warm_start.Start())
        training.train(gan, chosen, examples, 0, tmp_path / name)
        z = tf.random.stateless_normal((digits.eval.count, chosen.latent.dim), (9, 9))
        answers = judge.judge(to_uint8(gan.ema([z, tf.constant(digits.eval.labels)], training=False)))
        agrees = answers["logits"].numpy().argmax(axis=1) == digits.eval.labels
        return kernel_distance(real, answers["features"].numpy()), np.mean(agrees[digits.eval.labels == rare])

    real = judge.judge(digits.eval.images)["features"].numpy()
    trained("before", then, steps)
    anew, agreement = trained("anew", now, steps)
    short, _ = trained("short", now, steps // 4)
    start = warm_start.Start("before", values=warm_start.read(tmp_path / "before"))
    warm, warm_agreement = trained("warm", now, steps // 4, start)
    assert warm < 1.1 * anew and warm < 0.7 * short, (warm, anew, short)
    assert warm_agreement > agreement - 0.1, (warm_agreement, agreement)
