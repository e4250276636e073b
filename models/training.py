"""`run_fn` of the GAN for TFX's own Trainer: data, model, checkpoints and export put together."""

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import warm_start
from models.build import batch_size, build_gan
from models.callbacks import HISTORY_FILE, Checkpoint, Progress, StopOnNaN, steps_per_call
from models.data import Examples, TrainingData, read
from models.dataset import DatasetInfo
from models.export import export_generator
from models.files import locked, write_whole
from models.gan import GAN
from models.helper import accuracy, helper
from models.monitor import Monitor
from models.options import GANOptions
from models.samples import at_hand
from models.signatures import Filter
from models.stream import training_data
from models.warm_start import IDENTITY_FILE, Start

ROLLBACKS = 3

log = logging.getLogger("tailgan")


def train(
    gan: GAN, options: GANOptions, data: TrainingData, seed: int, directory: Path, monitor: Monitor | None = None
) -> None:
    """Trains up to `options.steps`, from the newest checkpoint in `directory` if there is one.

    Args:
      gan: as `models.build.build_gan` makes it.
      options: number of steps, batch size, checkpoints.
      data: what to train on.
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
            _fit(gan, options, data, seed, directory, checkpoint, monitor, done)
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
    data: TrainingData,
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
    batches = data.batches(batch_size(options, data), seed, done, options.discriminator_steps)
    warnings.filterwarnings("ignore", "Your input ran out of data", module="keras")  # the last call may be short
    gan.fit(
        batches.take(options.steps - done),
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
    options: GANOptions,
    data: TrainingData,
    classes: Sequence[str],
    hyperparameters: dict[str, Any],
    seed: int,
    code: str,
) -> dict[str, Any]:
    """All that decides how a training goes, but for what it begins with, as JSON.

    How often it is saved or looked at and what is exported do not.
    """
    return {
        "options": options.model_dump(
            mode="json", exclude={"checkpoint_every", "keep_checkpoints", "monitor", "export", "warm_start"}
        ),
        "data": data.fingerprint(),
        "classes": list(classes),
        "image_shape": list(data.image_shape),
        "unlabelled": data.unlabelled > 0,
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


def build_filter(
    options: GANOptions, data: TrainingData, heldout: Examples, classes: int, seed: int, directory: Path
) -> Filter | None:
    """What the options say of the signature `filtered`; trains its helper, unless it lies in the directory."""
    chosen = options.export.filter
    if chosen is None:
        return None
    network = helper(directory, data, classes, seed, options.helper_steps)
    recognized = accuracy(network, heldout)
    log.info("the helper classifier recognizes %.1f %% of the held-out images", 100 * recognized)
    return Filter(network, chosen.candidates, chosen.threshold, recognized)


def run_fn(fn_args: Any) -> None:
    """Trains and exports a generator.

    Args:
      fn_args: TFX's FnArgs: `train_files`, `eval_files` (only looked at), `hyperparameters` (the Rebalancer's, or
        None), `serving_model_dir` (gets the SavedModel), `model_run_dir` (gets `history.jsonl` and what
        `Monitor.publish` writes) and `custom_config` with `options` (GANOptions as JSON), `seed`, `code_version`,
        `checkpoint_root` (outlives a run that fails) and, for a warm start, `serving_dir` (where it looks for what
        serves).
    """
    custom = fn_args.custom_config
    options, seed = GANOptions.model_validate_json(custom["options"]), custom["seed"]
    info = DatasetInfo.beside(fn_args.train_files[0])
    data = training_data(fn_args.train_files, info, options.cache_megabytes, options.missing)
    hyperparameters = fn_args.hyperparameters or {}
    root, start = Path(custom["checkpoint_root"]), Start()
    described = identity(options, data, info.classes, hyperparameters, seed, custom["code_version"])
    images = warm_start.images(fn_args.train_files)
    if options.warm_start:
        held_out = warm_start.images(fn_args.eval_files)
        start = warm_start.find(described, Path(custom["serving_dir"]), root, images, held_out)
    if options.warm_start and start.training:
        options = options.model_copy(update={"steps": options.warm_start.steps})
        described["options"]["steps"] = options.steps
    directory = training_directory(root, {**described, "start": start.training})
    with locked(directory):  # of two runs that train the same at once, one waits and finds it done
        warm_start.note(directory, start, images)
        gan = build_gan(options, data, info.classes, hyperparameters, seed, directory)
        warm_start.begin(gan, start)
        seen, heldout = at_hand(data, seed), read(fn_args.eval_files, info)
        monitor = Monitor(gan, seen, heldout, info, options.monitor, options.steps, directory, seed)
        train(gan, options, data, seed, directory, monitor)
        model_run = Path(fn_args.model_run_dir)
        model_run.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / HISTORY_FILE, model_run / HISTORY_FILE)
        monitor.publish(model_run)
        chosen = build_filter(options, data, heldout, len(info.classes), seed, directory)
    training = {
        "steps": options.steps, "directory": directory.name, "start": start.training, "anew": start.anew
    }  # fmt: skip
    export_generator(gan.ema, fn_args.serving_model_dir, info, training, chosen)
