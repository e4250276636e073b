"""Judges generated images, wherever they come from: looks at them and at the real ones, and has the gate decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from components.evaluator.verdict import SERVED_AS
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
    """What became of it.

    Attributes:
      document: of evaluation.json, with the gate's own verdict.
      samples: makes pictures (see `samples.collect`).
      serves: whether what was judged is what serves.
    """

    document: dict[str, Any]
    samples: Callable[[], Arrays]
    serves: bool


@dataclass(frozen=True)
class _Set:
    """Generated images of one source: their labels and seeds [m] int64, and the work to be done on them."""

    source: Source
    labels: np.ndarray
    seeds: np.ndarray
    batches: list[Batch]


@dataclass(frozen=True)
class _Version:
    """A version that can be opened, and whether it is the generator that is judged."""

    role: Role
    version: int
    at: SourceAt
    source: Source
    is_candidate: bool

    def not_compared(self, why: str) -> str:
        return _not_compared(self.role, self.version, why)


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
    wanted = _wanted("candidate", candidate, source, info, options.samples_per_class, first, options.seed)
    versions, warnings = _open([("serving", served), ("best", best)], source, info)
    serves = any(version.is_candidate and version.role == "serving" for version in versions)
    seeds = first + SEEDS_OF_THE_SERVED
    others = [
        (
            version,
            _wanted(version.role, version.at, version.source, info, options.samples_per_class, seeds, options.seed),
        )
        for version in versions
        if not serves and not version.is_candidate
    ]
    generated = [*chain(wanted.batches, *(other.batches for _, other in others))]
    real, known, faults = _look(given, info, eyes, at, generated)
    warnings += [version.not_compared(faults[version.role]) for version, _ in others if version.role in faults]
    itself = [version.not_compared("it is this generator") for version in versions if version.is_candidate]
    made = looking.gather(given.scratch, wanted.batches)
    result = evaluate(
        _view(real),
        _view(made),
        Known(known["labels"], known["pixels"]),
        info.classes,
        options,
        [
            Other(version.role, version.version, _view(looking.gather(given.scratch, other.batches)))
            for version, other in others
            if version.role not in faults
        ],
        [*itself, *warnings],
    )
    document = {
        **result,
        "warnings": [*source.remarks, *_remarks(wanted), *warnings, *result["warnings"]],
        "served_version": served.version if served else None,
        "best_version": best.version if best else None,
        "generator": source.fingerprint,
        "data": info.fingerprint,
        **_by_what(eyes, real),
    }
    pictures = partial(samples.collect, source, wanted.seeds, made, real, known, given.examples)
    return Judgement(document, pictures, serves)


def _look(
    given: Given, info: DatasetInfo, eyes: Eyes, at: EyesAt, generated: list[Batch]
) -> tuple[Arrays, Arrays, dict[str, str]]:
    """Looks at generated images, whose files are left in the scratch directory, and at real ones that are not kept.

    Returns:
      What was seen of the eval split and of the train split, in the order of ids; and by role, what is wrong with
      versions that cannot be called.
    """
    keys = _keys(given, info, eyes)
    kept = {split: given.cache.load(key) for split, key in keys.items()}
    fresh = {
        split: looking.real_batches(split, examples.shards(given.examples, split), info, split == "train")
        for split, arrays in kept.items()
        if arrays is None
    }
    faults = looking.look(given.make_pipeline, [*chain(*fresh.values(), generated)], at, given.scratch, SERVED_AS)
    seen = {split: arrays for split, arrays in kept.items() if arrays is not None}
    for split, batches in fresh.items():
        seen[split] = looking.by_id(looking.gather(given.scratch, batches))
        given.cache.save(keys[split], seen[split])
    return seen["eval"], seen["train"], faults


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


def _wanted(name: str, at: SourceAt, source: Source, info: DatasetInfo, least: int, first: int, seed: int) -> _Set:
    """Of each class `least` images or as many as there are in eval, with seeds from `first`.

    Where there is an end of them, so many are drawn with `seed`, or all are taken.
    """
    counts = [max(least, of_eval) for of_eval in info.counts["eval"]]
    there = [source.available(label) for label in range(len(counts))]
    counts = [count if most is None else min(count, most) for count, most in zip(counts, there, strict=True)]
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    if any(most is not None for most in there):
        drawn = np.random.default_rng(seed)
        places = [drawn.permutation(most or 0)[:count] for count, most in zip(counts, there, strict=True)]
        seeds = np.concatenate(places).astype(np.int64)
    else:
        seeds = first + np.arange(len(labels), dtype=np.int64)
    return _Set(source, labels, seeds, looking.made_batches(name, at, labels, seeds))


def _remarks(wanted: _Set) -> list[str]:
    """What a reader of the figures should know of how the images were come by."""
    source, batch = wanted.source, wanted.batches[0]
    there = [source.available(label) for label in range(len(source.classes))]
    if any(most is not None for most in there):
        total = sum(most or 0 for most in there)
        seen = len(wanted.labels)
        return [f"{seen} of {total} images were looked at, drawn by `gate.seed`"] if seen < total else []
    assert isinstance(batch, looking.MadeBatch)
    first, again = (source.images(batch.labels, batch.seeds) for _ in range(2))
    return [] if _alike(first, again) else ["its images depend on more than label and seed: pictures are of other ones"]


def _open(
    served: Sequence[tuple[Role, Served | None]], candidate: Source, info: DatasetInfo
) -> tuple[list[_Version], list[str]]:
    """The versions that can be opened, and why others are not compared with."""
    found, warnings = [], []
    for role, each in served:
        if each is None:
            continue
        at = SourceAt(each.path, info.classes, info.image_shape)
        try:
            source = at.load()
        except UserError as fault:
            warnings.append(_not_compared(role, each.version, str(fault)))
            continue
        same = source.fingerprint == candidate.fingerprint and _same_images(source, candidate)
        found.append(_Version(role, each.version, at, source, same))
    return found, warnings


def _same_images(one: Source, other: Source) -> bool:
    """Whether two sources that call themselves the same make the same image of every class.

    Files do not tell: the same weights, exported by a process that has done other things before, are other bytes.
    """
    labels = np.arange(len(one.classes), dtype=np.int64)
    try:
        first, second = (source.images(labels, np.zeros_like(labels)) for source in (one, other))
    except UserError:  # it is told when all images are asked for
        return False
    return _alike(first, second)


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether uint8 images are the same, but for the rounding of floats that were added in another order."""
    return bool(np.abs(one.astype(np.int16) - other).max() <= 1)


def _not_compared(role: Role, version: int, why: str) -> str:
    return f"not compared with version {version}, {SERVED_AS[role]}: {why}"


def _view(arrays: Arrays) -> View:
    return View(arrays["labels"], arrays["features"], arrays["probabilities"], arrays["pixels"])
