"""Judges generated images, wherever they come from: looks at them and at the real ones, and has the gate decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import numpy as np

from components import examples
from components.evaluator import cache, looking, samples
from components.evaluator.cache import Cache
from components.evaluator.comparison import Other
from components.evaluator.evaluation import evaluate
from components.evaluator.features import Eyes, EyesAt, nearest_neighbour_accuracy
from components.evaluator.looking import Arrays, Batch
from components.evaluator.options import GateOptions
from components.evaluator.pixels import some_training_images, to_arrays
from components.evaluator.served import Served
from components.evaluator.sources import Source, SourceAt
from components.evaluator.views import Known, View
from metrics import pixels
from models.dataset import DatasetInfo
from models.errors import UserError

Role = Literal["serving", "best"]

# Generated images have seeds from `gate.seed` times so many on; those of served versions others, to be independent.
SEEDS_OF_A_RUN = 10_000_000
SEEDS_OF_THE_SERVED = 5_000_000


@dataclass(frozen=True)
class Given:
    """All that generated images are judged by.

    Attributes:
      examples: uri of the Examples artifact; its eval split is real, and never rebalanced, nor is its train split.
      judge: directory of the judge's SavedModel.
      options: of the gate.
      cache: directory of what is kept of real images.
      version: of the code that looks at images, without which what is kept is not theirs.
      make_pipeline: makes a Beam pipeline.
      scratch: an empty directory that all workers of Beam see; to be removed by the caller.
    """

    examples: str
    judge: str
    options: GateOptions
    cache: Cache
    version: str
    make_pipeline: Callable[[], beam.Pipeline]
    scratch: Path


@dataclass(frozen=True)
class Judgement:
    """What became of it: the document of evaluation.json, and pictures (see `samples.collect`)."""

    document: dict[str, Any]
    samples: Arrays


@dataclass(frozen=True)
class _Set:
    """Generated images of one source: their labels and seeds [m] int64, and the work to be done on them."""

    source: Source
    labels: np.ndarray
    seeds: np.ndarray
    batches: list[Batch]


def judge(candidate: SourceAt, given: Given, served: Served | None = None, best: Served | None = None) -> Judgement:
    """Judges the images of a source, and compares it with what serves and the best that served.

    Args:
      candidate: where they come from.
      given: what it is judged by.
      served: the version that serves now.
      best: another version, which was judged best when it was pushed.

    Raises:
      UserError: if the source does not give what it should, or the networks or the real images are not fit.
    """
    info, options = DatasetInfo.load(given.examples), given.options
    source = candidate.load()
    at = EyesAt(given.judge, str(_axes(given, info)), options.features)
    eyes = at.load()
    if eyes.judge.classes != len(info.classes):
        raise UserError(f"{given.judge}: a judge of {eyes.judge.classes} classes; the data have {len(info.classes)}")
    first = options.seed * SEEDS_OF_A_RUN
    wanted = _wanted("candidate", candidate, source, info, options.samples_per_class, first)
    is_served = served is not None and served.fingerprint == source.fingerprint
    versions: list[tuple[Role, Served | None]] = [] if is_served else [("serving", served), ("best", best)]
    compared = [(role, each) for role, each in versions if each and each.fingerprint != source.fingerprint]
    others, warnings = _others(compared, given, info, first + SEEDS_OF_THE_SERVED)
    generated = [*chain(wanted.batches, *(other.batches for *_, other in others))]
    real, known = _look(given, info, eyes, at, generated)
    made = looking.gather(given.scratch, wanted.batches)
    result = evaluate(
        _view(real),
        _view(made),
        Known(known["labels"], known["pixels"]),
        info.classes,
        options,
        [
            Other(role, version.version, _view(looking.gather(given.scratch, other.batches)))
            for role, version, other in others
        ],
    )
    document = {
        **(_already_serving(result, served.version) if served and is_served else result),
        "warnings": [*source.remarks, *warnings, *result["warnings"]],
        "served_version": served.version if served else None,
        "best_version": best.version if best else None,
        "generator": source.fingerprint,
        "data": info.fingerprint,
        **_by_what(eyes, real),
    }
    return Judgement(document, samples.collect(source, wanted.seeds, made, real, known, given.examples))


def _look(given: Given, info: DatasetInfo, eyes: Eyes, at: EyesAt, generated: list[Batch]) -> tuple[Arrays, Arrays]:
    """Looks at generated images, whose files are left in the scratch directory, and at real ones that are not kept.

    Returns:
      What was seen of the eval split and of the train split, in the order of ids.
    """
    keys = _keys(given, info, eyes)
    kept = {split: given.cache.load(key) for split, key in keys.items()}
    fresh = {
        split: looking.real_batches(split, examples.shards(given.examples, split), info, split == "train")
        for split, arrays in kept.items()
        if arrays is None
    }
    looking.look(given.make_pipeline, [*chain(*fresh.values(), generated)], at, given.scratch)
    seen = {split: arrays for split, arrays in kept.items() if arrays is not None}
    for split, batches in fresh.items():
        seen[split] = looking.by_id(looking.gather(given.scratch, batches))
        given.cache.save(keys[split], seen[split])
    return seen["eval"], seen["train"]


def _by_what(eyes: Eyes, real: Arrays) -> dict[str, dict[str, Any]]:
    """`features` and `judge` of a document: by what it was judged, and how good that is on held-out images."""
    return {
        "features": {
            "name": eyes.network.name,
            "fingerprint": eyes.network.fingerprint,
            "dimensions": eyes.network.dimensions,
            "accuracy": nearest_neighbour_accuracy(real["features"], real["labels"]),
        },
        "judge": {
            "accuracy": float(np.mean(real["probabilities"].argmax(axis=1) == real["labels"])),
            "eval_images": len(real["labels"]),
            "fingerprint": eyes.judge.fingerprint,
        },
    }


def _axes(given: Given, info: DatasetInfo) -> Path:
    """File of the axes of the pixels, which are found if they are not kept."""
    key = cache.key(what="axes", data=info.fingerprint, seed=given.options.seed, version=given.version)
    if given.cache.load(key) is None:
        images = some_training_images(examples.shards(given.examples, "train"), info, given.options.seed)
        given.cache.save(key, to_arrays(pixels.fit(images)))
    return given.cache.path(key)


def _keys(given: Given, info: DatasetInfo, eyes: Eyes) -> dict[str, str]:
    """Keys of what is seen of the splits: all that decides it."""
    common = {"data": info.fingerprint, "pixels": eyes.pixels.fingerprint, "version": given.version}
    network = f"{eyes.network.name} {eyes.network.fingerprint}"
    return {
        "eval": cache.key(what="eval", judge=eyes.judge.fingerprint, features=network, **common),
        "train": cache.key(what="train", **common),
    }


def _wanted(name: str, at: SourceAt, source: Source, info: DatasetInfo, least: int, first: int) -> _Set:
    """Of each class `least` images or as many as there are in eval, or all that there are, with seeds from `first`."""
    counts = [max(least, of_eval) for of_eval in info.counts["eval"]]
    there = [source.available(label) for label in range(len(counts))]
    counts = [count if most is None else min(count, most) for count, most in zip(counts, there, strict=True)]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    if any(most is not None for most in there):
        seeds = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    else:
        seeds = first + np.arange(len(labels), dtype=np.int64)
    return _Set(source, labels, seeds, looking.made_batches(name, at, labels, seeds))


def _others(
    versions: Sequence[tuple[Role, Served]], given: Given, info: DatasetInfo, first: int
) -> tuple[list[tuple[Role, Served, _Set]], list[str]]:
    """What is made of the versions to compare with, and why others cannot be."""
    sets, warnings = [], []
    for role, version in versions:
        at = SourceAt(version.path, info.classes, info.image_shape)
        try:
            sets.append((role, version, _wanted(role, at, at.load(), info, given.options.samples_per_class, first)))
        except UserError as fault:
            words = "serves" if role == "serving" else "was the best"
            warnings.append(f"no comparison with version {version.version}, which {words}: {fault}")
    return sets, warnings


def _already_serving(result: dict[str, Any], version: int) -> dict[str, Any]:
    """What the gate says of a generator that serves.

    There is nothing to push, and what to do about a rule that no longer holds is not for the gate to decide; the
    reasons name it.
    """
    failures = result["reasons"] if result["verdict"] == "rejected" else []
    reasons = [f"this generator is what serves, as version {version}", *failures]
    return {**result, "verdict": "already_serving", "blessed": True, "reasons": reasons}


def _view(arrays: Arrays) -> View:
    return View(arrays["labels"], arrays["features"], arrays["probabilities"], arrays["pixels"])
