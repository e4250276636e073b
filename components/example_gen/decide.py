"""Between the two passes: from the summaries of all parts to the fate of each image."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from components.example_gen import split
from components.example_gen.options import DataOptions
from components.example_gen.scratch import BadFile, Scratch, Summary
from models.dataset import DatasetInfo
from models.errors import UserError

# Index of a part; what becomes of each of its n images, int8 [n].
Fate = tuple[int, np.ndarray]

_SHOWN = 3


def decide(summaries: Iterable[Summary], options: str, classes: tuple[str, ...], scratch: Scratch) -> Iterator[Fate]:
    """Plans the split of all parts, given in any order, and leaves what the executor needs in `scratch`.

    A fault of the data is left there as well, and nothing is emitted: raised here, it would reach the user wrapped in
    those of Beam.

    Args:
      summaries: of all parts.
      options: DataOptions as JSON.
      classes: names of the classes, by label.
      scratch: where `dataset.json`, the list of duplicates, or the fault go.
    """
    parsed = DataOptions.model_validate_json(options)
    ordered = sorted(summaries, key=lambda summary: summary.index)
    try:
        _check_bad(ordered, parsed.max_bad_fraction)
        _check_groups(ordered, parsed.group_by)
        rows = np.concatenate([summary.rows for summary in ordered])
        planned = split.plan(rows, classes, parsed)
    except UserError as fault:
        Path(scratch.fault).write_text(str(fault), encoding="utf-8")
        return
    _dataset_info(ordered, rows, planned.assignment, classes, parsed).save(scratch.directory)
    sizes = [len(summary.rows) for summary in ordered]
    _write_duplicates(sizes, planned, scratch)
    for summary, fate in zip(ordered, np.split(planned.assignment, np.cumsum(sizes)[:-1]), strict=True):
        yield summary.index, fate


def _check_bad(summaries: list[Summary], allowed: float) -> None:
    bad = sum(summary.bad for summary in summaries)
    total = bad + sum(len(summary.rows) for summary in summaries)
    if bad > allowed * total or bad == total:
        first: list[BadFile] = sorted(file for summary in summaries for file in summary.first_bad)[:_SHOWN]
        listed = "; ".join(f"{key}: {reason}" for key, reason in first)
        more = f"; and {bad - len(first)} more" if bad > len(first) else ""
        raise UserError(
            f"{bad} of {total} images cannot be read, {bad / total:.3g} of them where "
            f"`data.max_bad_fraction` allows {allowed:g}: {listed}{more}"
        )


def _check_groups(summaries: list[Summary], group_by: str | None) -> None:
    if group_by is not None and not any(summary.grouped for summary in summaries):
        raise UserError(f"{group_by!r} matches none of the file names", key="data.group_by")


def _dataset_info(
    summaries: list[Summary], rows: np.ndarray, assignment: np.ndarray, classes: tuple[str, ...], options: DataOptions
) -> DatasetInfo:
    def counts(fate: int) -> tuple[int, ...]:
        return tuple(np.bincount(rows["label"][assignment == fate], minlength=len(classes)).tolist())

    return DatasetInfo(
        classes=classes,
        image_shape=(*options.image_size, options.channels),
        fingerprint=_fingerprint(rows, assignment),
        counts={"train": counts(split.TRAIN), "eval": counts(split.EVAL)},
        train_unique=counts(split.TRAIN),
        source_counts=tuple(np.sum([summary.found for summary in summaries], axis=0).tolist()),
        duplicates=int((assignment == split.DUPLICATE).sum()),
        quarantined=sum(summary.bad for summary in summaries),
        class_weights=(1.0,) * len(classes),
    )


def _fingerprint(rows: np.ndarray, assignment: np.ndarray) -> str:
    """Hex digest of ids, labels and splits, whatever the order of the images."""
    kept = (assignment == split.TRAIN) | (assignment == split.EVAL)
    high, low = rows["content"][kept].T
    table = np.stack([high, low, rows["label"][kept].astype(np.uint64), assignment[kept].astype(np.uint64)], axis=1)
    ordered = table[np.lexsort((low, high))].astype(">u8")
    return hashlib.sha256(ordered.tobytes()).hexdigest()[:32]


def _write_duplicates(sizes: list[int], planned: split.Plan, scratch: Scratch) -> None:
    part = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    copies = np.flatnonzero(planned.assignment == split.DUPLICATE)
    kept = planned.original[copies]
    np.save(scratch.duplicates, np.stack([part[copies], place[copies], part[kept], place[kept]], axis=1))
