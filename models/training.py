"""`run_fn` of the GAN for TFX's own Trainer: data, model, checkpoints and export put together."""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.callbacks import HISTORY_FILE, Checkpoint, Progress, StopOnNaN, steps_per_call
from models.data import TrainingData
from models.dataset import DatasetInfo
from models.export import export_generator
from models.gan import GAN
from models.losses import adversarial_loss
from models.networks import build_networks
from models.optimizers import Optimizer
from models.options import GANOptions
from models.stream import training_data
from models.terms import Setting, build_terms

log = logging.getLogger("tailgan")


def fake_label_probabilities(options: GANOptions, counts: Sequence[int], counts_before: Sequence[int]) -> np.ndarray:
    """How often each class is generated in training, float64 [K], of sum 1.

    >>> fake_label_probabilities(GANOptions(fake_labels="power", fake_labels_alpha=0.5), [4, 4], [9, 1])
    array([0.75, 0.25])

    Args:
      options: `fake_labels` and `fake_labels_alpha`.
      counts: training examples of each class, K numbers.
      counts_before: the same before rebalancing.

    Raises:
      ValueError: for unknown `fake_labels`.
    """
    match options.fake_labels:
        case "data":
            mass = np.asarray(counts, np.float64)
        case "uniform":
            mass = np.ones(len(counts))
        case "power":
            mass = np.asarray(counts_before, np.float64) ** options.fake_labels_alpha
        case unknown:
            raise ValueError(f"unknown fake_labels `{unknown}`; known: data, uniform, power")
    return mass / mass.sum()


def build(options: GANOptions, examples: TrainingData, classes: int, hyperparameters: dict[str, Any], seed: int) -> GAN:
    """A compiled GAN before its first step; equal arguments give equal weights.

    Args:
      options: networks, loss and optimizers.
      examples: what it will be trained on.
      classes: number of classes, K.
      hyperparameters: of the Rebalancer: `class_weights` and `counts_before`, K numbers each; may lack both.
      seed: decides the initial weights and all that is drawn in training.
    """
    keras.utils.set_random_seed(seed)
    generator, discriminator = build_networks(options, examples.image_shape, classes)
    counts = examples.counts(classes)
    probabilities = fake_label_probabilities(options, counts, hyperparameters.get("counts_before", counts))
    with np.errstate(divide="ignore"):  # a class that is never generated has log 0
        log_probabilities = np.log(probabilities)
    gan = GAN(generator, discriminator, log_probabilities, hyperparameters.get("class_weights", np.ones(classes)), seed)
    gan.compile(
        Optimizer(options.generator_optimizer, options.steps),
        Optimizer(options.discriminator_optimizer, options.steps * options.discriminator_steps),
        adversarial_loss(options.loss),
        build_terms(options.terms, Setting(classes, counts, lambda: None)),
        None,
        options.ema_decay,
        options.discriminator_steps,
        options.clip_weights,
        steps_per_execution=steps_per_call(options.steps),
    )
    return gan


def train(gan: GAN, options: GANOptions, examples: TrainingData, seed: int, directory: Path) -> None:
    """Trains up to `options.steps`, from the newest checkpoint in `directory` if there is one.

    Args:
      gan: as `build` makes it.
      options: number of steps, batch size, checkpoints.
      examples: what to train on.
      seed: decides the order of the examples.
      directory: of checkpoints and `history.jsonl`; must be this very training's own.

    Raises:
      FloatingPointError: if a loss is not finite.
    """
    per_call = steps_per_call(options.steps)
    checkpoint = Checkpoint(gan.step, gan.state(), directory, options.checkpoint_every, options.keep_checkpoints)
    done = checkpoint.restore()
    if done:
        log.info("GAN: going on from step %d of %d", done, options.steps)
    gan.fit(
        examples.batches(options.batch_size, seed, skip_steps=done),
        initial_epoch=done // per_call,
        epochs=options.steps // per_call,
        steps_per_epoch=per_call,
        shuffle=False,  # the batches are
        verbose=0,
        callbacks=[
            StopOnNaN(per_call, checkpoint),
            Progress("GAN", options.steps, per_call, directory / HISTORY_FILE, done),
            checkpoint,
        ],
    )


def training_key(
    options: GANOptions, examples: TrainingData, hyperparameters: dict[str, Any], seed: int, code: str
) -> str:
    """Name of a training: another configuration, seed, code or data never meets its checkpoints."""
    # How often it is saved changes nothing of what is trained.
    trained = options.model_dump_json(exclude={"checkpoint_every", "keep_checkpoints"})
    parts = (trained, examples.fingerprint(), sorted(hyperparameters.items()), seed, code)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def run_fn(fn_args: Any) -> None:
    """Trains and exports a generator.

    Args:
      fn_args: TFX's FnArgs: `train_files`, `hyperparameters` (the Rebalancer's, or None), `serving_model_dir` (gets the
        SavedModel), `model_run_dir` (gets `history.jsonl`) and `custom_config` with `options` (GANOptions as JSON),
        `seed`, `code_version` and `checkpoint_root` (outlives a run that fails).
    """
    custom = fn_args.custom_config
    options, seed = GANOptions.model_validate_json(custom["options"]), custom["seed"]
    info = DatasetInfo.beside(fn_args.train_files[0])
    examples = training_data(fn_args.train_files, info, options.cache_megabytes, options.missing)
    hyperparameters = fn_args.hyperparameters or {}
    gan = build(options, examples, len(info.classes), hyperparameters, seed)
    key = training_key(options, examples, hyperparameters, seed, custom["code_version"])
    directory = Path(custom["checkpoint_root"]) / key
    train(gan, options, examples, seed, directory)
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    shutil.copy(directory / HISTORY_FILE, Path(fn_args.model_run_dir) / HISTORY_FILE)
    export_generator(gan.ema, fn_args.serving_model_dir, info)
