"""Judges a generator on the real eval split and decides whether it may be pushed."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.evaluator import figures, verdict
from components.evaluator.constants import EVALUATION_FILE, SAMPLES_FILE
from components.evaluator.judge import Judge
from components.evaluator.options import GateOptions
from components.evaluator.served import Served, fingerprint
from components.examples import split_dir
from models.data import read_images
from models.dataset import DatasetInfo
from models.files import write_whole
from models.generator import Generator

SHOWN_PER_CLASS = 10
GENERATE_AT_ONCE = 1024

log = logging.getLogger("tailgan")


def _generate(generator: Generator, labels: np.ndarray, first_seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Generated images in pieces, so that memory does not grow with their number: (uint8 [n, H, W, C], labels [n])."""
    seeds = first_seed + np.arange(len(labels), dtype=np.int64)
    for start in range(0, len(labels), GENERATE_AT_ONCE):
        piece = slice(start, start + GENERATE_AT_ONCE)
        yield generator.generate(labels[piece], seeds[piece]), labels[piece]


def _look(judge: Judge, pieces: Iterator[tuple[np.ndarray, np.ndarray]]) -> figures.Judged:
    """The judge's view of images that come in pieces."""
    seen = [judge.look(images, labels) for images, labels in pieces]
    return figures.Judged(
        *(np.concatenate([getattr(s, f) for s in seen]) for f in ("features", "probabilities", "labels"))
    )


def evaluate(
    generator: Generator, judge: Judge, real: figures.Judged, info: DatasetInfo, options: GateOptions
) -> dict[str, Any]:
    """All figures of one generator. Its labels follow the eval split's counts for the figures of the whole."""
    first = options.seed * 10_000_000
    fake = _look(judge, _generate(generator, real.labels, first))
    labels = np.repeat(np.arange(len(info.classes), dtype=np.int64), options.samples_per_class)
    fake_by_class = _look(judge, _generate(generator, labels, first + len(real.labels)))
    return {
        **figures.whole(real, fake),
        "null": figures.null(real, fake, options.seed),
        "per_class": figures.per_class(real, fake_by_class, info.classes, options.seed),
    }


def _baseline(served: Served, judge: Judge, real: figures.Judged, info: DatasetInfo, options: GateOptions):
    """Figures of what serves, or None (and said) where it cannot be compared."""
    try:
        generator = Generator(served.path)
    except (OSError, ValueError) as error:
        log.warning("version %d serves but cannot be loaded, so it is no baseline: %s", served.version, error)
        return None
    if (generator.classes, generator.image_shape) != (info.classes, info.image_shape):
        log.warning(
            "version %d serves other classes or another image size, so it is no baseline: %s of %s against %s of %s",
            served.version, generator.image_shape, generator.classes, info.image_shape, info.classes,
        )  # fmt: skip
        return None
    result = evaluate(generator, judge, real, info, options)
    return verdict.named_figures(result, result["per_class"])


def _save_samples(path: Path, generator: Generator, images: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """A few real eval images and generated ones of each class, for people to look at.

    Arrays `real` and `generated`, uint8 [K, SHOWN_PER_CLASS, H, W, C], and `real_count` int [K]; rows beyond the
    count are black.
    """
    real = np.zeros((classes, SHOWN_PER_CLASS, *images.shape[1:]), np.uint8)
    counts = np.zeros(classes, np.int64)
    for label in range(classes):
        own = images[labels == label][:SHOWN_PER_CLASS]
        real[label, : len(own)], counts[label] = own, len(own)
    wanted = np.repeat(np.arange(classes, dtype=np.int64), SHOWN_PER_CLASS)
    generated = generator.generate(wanted, np.tile(np.arange(SHOWN_PER_CLASS, dtype=np.int64), classes))
    np.savez_compressed(path, real=real, real_count=counts, generated=generated.reshape(real.shape))


class Executor(tfx_evaluator.Executor):
    """Standard TFX Evaluator executor's place, for a generator.

    Input: `examples` (Examples with an eval split), `model` (the generator), `judge` (Model).
    Output: `evaluation` (ModelEvaluation: evaluation.json, samples.npz), `blessing` (ModelBlessing).
    Exec properties: `options` (GateOptions as JSON), `serving_dir`, `code_version`, and from the driver `served`
    (JSON of what serves, or "").
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        options = GateOptions.model_validate_json(exec_properties["options"])
        served = Served(**json.loads(exec_properties["served"])) if exec_properties.get("served") else None
        examples = artifact_utils.get_single_uri(input_dict["examples"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        info = DatasetInfo.load(examples)
        images, labels, _ = read_images(f"{split_dir(examples, 'eval')}/*", info)
        judge = Judge(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["judge"])))
        generator = Generator(path_utils.serving_model_path(model.uri))

        real = judge.look(images, labels)
        result = evaluate(generator, judge, real, info, options)
        values = verdict.named_figures(result, result["per_class"])
        own = fingerprint(Path(generator.path))
        other = served if served and served.fingerprint != own else None
        baseline = _baseline(other, judge, real, info, options) if other else None
        rules = verdict.check_rules(options, values, result["per_class"])
        comparisons = verdict.compare(options, values, baseline)
        decision, reasons = verdict.decide(own, served, rules, comparisons)

        uri = Path(artifact_utils.get_single_uri(output_dict["evaluation"]))
        _save_samples(uri / SAMPLES_FILE, generator, images, labels, len(info.classes))
        document = {
            "verdict": decision,
            "blessed": decision != "rejected",
            "reasons": reasons,
            "rules": verdict.as_dicts(rules),
            "compared": verdict.as_dicts(comparisons),
            "served_version": served.version if served else None,
            "generator": own,
            "data": info.fingerprint,
            "judge": {"accuracy": float(np.mean(real.agrees)), "eval_images": len(labels)},
            **result,
        }
        write_whole(uri / EVALUATION_FILE, json.dumps(document, indent=2, allow_nan=False))
        _bless(artifact_utils.get_single_instance(output_dict["blessing"]), model, decision == "blessed")
        log.info("verdict: %s: %s", decision.replace("_", " "), "; ".join(reasons))


def _bless(blessing: Artifact, model: Artifact, blessed: bool) -> None:
    """Marks the blessing as the standard Pusher reads it."""
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    (Path(blessing.uri) / name).touch()
