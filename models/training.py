"""`run_fn` of the GAN for TFX's own Trainer: data, model, checkpoints and export put together."""

import contextlib
import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.augment import build_augmentation
from models.callbacks import HISTORY_FILE, Checkpoint, Progress, StopOnNaN, steps_per_call, steps_per_execution
from models.data import Examples, read, training_batches
from models.dataset import DatasetInfo
from models.errors import UserError
from models.export import export_generator
from models.files import write_whole
from models.gan import GAN
from models.helper import helper
from models.losses import adversarial_loss
from models.monitor import Monitor
from models.networks import build_networks
from models.optimizers import Optimizer
from models.options import GANOptions
from models.rarity import rarity
from models.terms import Setting, build_terms

IDENTITY_FILE = "training.json"
ROLLBACKS = 3

log = logging.getLogger("tailgan")


def fake_label_probabilities(
    options: GANOptions, classes: Sequence[str], counts: Sequence[int], counts_before: Sequence[int]
) -> np.ndarray:
    """How often each class is generated in training, float64 [K], of sum 1; 0 for a class without images.

    >>> fake_label_probabilities(GANOptions(fake_labels="power", fake_labels_alpha=0.5), "ab", [4, 4], [9, 1])
    array([0.75, 0.25])

    Args:
      options: `fake_labels` and `fake_labels_alpha`.
      classes: K names.
      counts: training examples of each class, K numbers.
      counts_before: the same before rebalancing.

    Raises:
      UserError: if `fake_labels` names a class that is none or has no images, or leaves nothing to generate.
    """
    has_images = np.asarray(counts) > 0
    match options.fake_labels:
        case "data":
            mass = np.asarray(counts, np.float64)
        case "uniform":
            mass = has_images.astype(np.float64)
        case "power":
            mass = np.where(has_images, np.asarray(counts_before, np.float64) ** options.fake_labels_alpha, 0)
        case shares:
            mass = _shares_by_name(shares, classes, has_images)
    if not mass.sum():
        raise UserError("no class has a share: there is nothing to generate", "gan.fake_labels")
    return mass / mass.sum()


def _shares_by_name(shares: Mapping[str, float], classes: Sequence[str], has_images: np.ndarray) -> np.ndarray:
    for name, share in shares.items():
        if name not in classes:
            raise UserError(f"there is no class `{name}`; there are: {', '.join(classes)}", "gan.fake_labels")
        if share and not has_images[classes.index(name)]:
            raise UserError(f"class `{name}` has no training images, so it cannot be learned", "gan.fake_labels")
    return np.array([shares.get(name, 0.0) for name in classes], np.float64)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made within have this policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _scope(options: GANOptions, batch_size: int) -> contextlib.AbstractContextManager[Any]:
    """Where variables are made: on all devices, or where TensorFlow puts them.

    Raises:
      UserError: if the devices cannot share a batch evenly.
    """
    if options.strategy == "none":
        return contextlib.nullcontext()
    strategy = tf.distribute.MirroredStrategy()
    devices = strategy.num_replicas_in_sync
    if batch_size % devices:
        raise UserError(f"{batch_size} images cannot be spread evenly over {devices} devices", "gan.batch_size")
    return strategy.scope()


def batch_size(options: GANOptions, examples: Examples) -> int:
    """Images of one step.

    Raises:
      UserError: if there are fewer than that.
    """
    count = len(examples.labels)
    if options.batch_size == "all":
        return count
    if options.batch_size > count:
        raise UserError(
            f"{options.batch_size} images a step, but there are only {count} to train on; at most so many, or `all`",
            "gan.batch_size",
        )
    return options.batch_size


def build(
    options: GANOptions,
    examples: Examples,
    names: Sequence[str],
    hyperparameters: dict[str, Any],
    seed: int,
    directory: Path | None = None,
) -> GAN:
    """A compiled GAN before its first step; equal arguments give equal weights.

    Args:
      options: networks, loss and optimizers.
      examples: what it will be trained on.
      names: of the K classes.
      hyperparameters: of the Rebalancer: `class_weights` and `counts_before`, K numbers each; may lack both.
      seed: decides the initial weights and all that is drawn in training.
      directory: of this training's checkpoints; a helper classifier, where a term needs one, is kept there.

    Raises:
      UserError: if options and data do not go together.
    """
    keras.utils.set_random_seed(seed)
    classes = len(names)
    counts = examples.counts(classes)
    counts_before = hyperparameters.get("counts_before", counts)
    probabilities = fake_label_probabilities(options, names, counts, counts_before)
    rare = rarity(counts_before)
    class_weights = hyperparameters.get("class_weights", np.ones(classes))
    with _scope(options, batch_size(options, examples)):
        with _dtype_policy(options.precision):
            generator, discriminator = build_networks(
                options, examples.image_shape, classes, rare.tolist(), unlabelled=False
            )
        gan = GAN(generator, discriminator, probabilities.tolist(), class_weights, seed)
        gan.compile(
            Optimizer(options.generator_optimizer, options.steps),
            Optimizer(options.discriminator_optimizer, options.steps * options.discriminator_steps),
            adversarial_loss(options.loss),
            build_terms(
                options.terms,
                Setting(classes, counts_before, discriminator, partial(helper, directory, examples, classes, seed)),
            ),
            build_augmentation(options.augment, examples.image_shape, rare),
            ema_decay=options.ema_decay,
            discriminator_steps=options.discriminator_steps,
            clip_weights=options.clip_weights,
            joint_batch=options.discriminator.joint_batch,
            steps_per_execution=steps_per_execution(options.steps),
            jit_compile=_is_compiled(options.jit),
        )
    return gan


def _is_compiled(jit: str) -> bool:
    """On a CPU, XLA makes small convolutions three times slower."""
    return jit == "on" or (jit == "auto" and bool(tf.config.list_physical_devices("GPU")))


def train(
    gan: GAN, options: GANOptions, examples: Examples, seed: int, directory: Path, monitor: Monitor | None = None
) -> None:
    """Trains up to `options.steps`, from the newest checkpoint in `directory` if there is one.

    Args:
      gan: as `build` makes it.
      options: number of steps, batch size, checkpoints.
      examples: what to train on.
      seed: decides the order of the examples.
      directory: of checkpoints and `history.jsonl`; must be this very training's own.
      monitor: looks at it on the way.

    Raises:
      FloatingPointError: if a figure is not finite, and the options do not say to try again, or that has not helped.
    """
    checkpoint = Checkpoint(gan.step, gan.state(), directory, options.checkpoint_every, options.keep_checkpoints)
    done = checkpoint.restore()
    if done:
        log.info("GAN: going on from step %d of %d", done, options.steps)
    if options.on_divergence == "rollback":
        checkpoint.save_first()
    tried: list[int] = []  # the steps that were gone back to
    while True:
        try:
            _fit(gan, options, examples, seed, directory, checkpoint, monitor, done)
            return
        except FloatingPointError as error:
            if options.on_divergence == "stop":
                advice = "a lower learning rate may help, and `gan.on_divergence: rollback` tries again at half of it"
                raise FloatingPointError(f"{error}; {advice}") from None
            if len(tried) == ROLLBACKS:
                raise FloatingPointError(f"{error}; {ROLLBACKS} attempts at lower learning rates all failed") from None
            done = checkpoint.restore()
            tried.append(done)
            # What was restored holds the rates of the attempts before it, not of those since.
            for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
                optimizer.schedule.scale.assign(optimizer.schedule.scale * 0.5 ** tried.count(done))
            log.warning("GAN: %s; going back to step %d at half the learning rates", error, done)


def _fit(
    gan: GAN,
    options: GANOptions,
    examples: Examples,
    seed: int,
    directory: Path,
    checkpoint: Checkpoint,
    monitor: Monitor | None,
    done: int,
) -> None:
    """From step `done`, which `gan` is in, to the last."""
    if done == options.steps:
        return
    per_call = steps_per_call(options.steps)
    size = batch_size(options, examples) * options.discriminator_steps
    warnings.filterwarnings("ignore", "Your input ran out of data", module="keras")  # the last call may be short
    gan.fit(
        training_batches(examples, size, seed, skip_steps=done).take(options.steps - done),
        initial_epoch=done // per_call,
        epochs=-(-options.steps // per_call),
        steps_per_epoch=per_call,
        shuffle=False,  # the batches are
        verbose=0,
        callbacks=[
            StopOnNaN(gan.first_bad, checkpoint),
            *([monitor] if monitor else []),
            Progress("GAN", options.steps, per_call, directory / HISTORY_FILE, done),
            checkpoint,
        ],
    )


def identity(
    options: GANOptions, examples: Examples, hyperparameters: dict[str, Any], seed: int, code: str
) -> dict[str, Any]:
    """All that decides how a training goes, as JSON; how often it is saved or looked at does not."""
    return {
        "options": options.model_dump(mode="json", exclude={"checkpoint_every", "keep_checkpoints", "monitor"}),
        "data": examples.fingerprint(),
        "hyperparameters": hyperparameters,
        "seed": seed,
        "code": code,
    }


def training_directory(root: Path, identity: dict[str, Any]) -> Path:
    """Directory of a training's checkpoints: another configuration, seed, code or data never meets them.

    It holds the identity too, as `training.json`, for people who wonder which is which.
    """
    text = json.dumps(identity, indent=2, sort_keys=True)
    directory = root / hashlib.sha256(text.encode()).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(directory / IDENTITY_FILE, text)
    return directory


def run_fn(fn_args: Any) -> None:
    """Trains and exports a generator.

    Args:
      fn_args: TFX's FnArgs: `train_files`, `eval_files` (only looked at), `hyperparameters` (the Rebalancer's, or
        None), `serving_model_dir` (gets the SavedModel), `model_run_dir` (gets `history.jsonl` and what
        `Monitor.publish` writes) and `custom_config` with `options` (GANOptions as JSON), `seed`, `code_version` and
        `checkpoint_root` (outlives a run that fails).
    """
    custom = fn_args.custom_config
    options, seed = GANOptions.model_validate_json(custom["options"]), custom["seed"]
    info = DatasetInfo.beside(fn_args.train_files[0])
    examples = read(fn_args.train_files, info)
    hyperparameters = fn_args.hyperparameters or {}
    directory = training_directory(
        Path(custom["checkpoint_root"]), identity(options, examples, hyperparameters, seed, custom["code_version"])
    )
    gan = build(options, examples, info.classes, hyperparameters, seed, directory)
    heldout = read(fn_args.eval_files, info)
    monitor = Monitor(gan, examples, heldout, info, options.monitor, options.steps, directory, seed)
    train(gan, options, examples, seed, directory, monitor)
    model_run = Path(fn_args.model_run_dir)
    model_run.mkdir(parents=True, exist_ok=True)
    shutil.copy(directory / HISTORY_FILE, model_run / HISTORY_FILE)
    monitor.publish(model_run)
    export_generator(gan.ema, fn_args.serving_model_dir, info)
