"""Has the networks look at images, by Beam: real ones from the shards of a split, generated ones as they are made.

Work comes in batches that are fixed beforehand, by shard or by seed, and each leaves one file; the files are put
together by their names. So no result depends on the number of workers or on their order, and only what the networks see
is held, never the images.
"""

import functools
import io
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.evaluator.features import EyesAt
from components.evaluator.sources import SourceAt
from models.data import decoded
from models.dataset import UNLABELLED, DatasetInfo
from models.errors import UserError
from models.files import write_whole

AT_ONCE = 256  # images in one call of a network, and of one batch of generated ones

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class RealBatch:
    """The labelled images of a shard.

    Attributes:
      name: of the file of the batch.
      shard: path.
      info: DatasetInfo of the split, as JSON.
      pixels_only: whether memorization is all that they are wanted for.
    """

    name: str
    shard: str
    info: str
    pixels_only: bool


@dataclass(frozen=True, eq=False)
class MadeBatch:
    """Images that a source is asked for.

    Attributes:
      name: of the file of the batch.
      source: where they come from.
      labels, seeds: [n] int64.
    """

    name: str
    source: SourceAt
    labels: np.ndarray
    seeds: np.ndarray


Batch = RealBatch | MadeBatch


def real_batches(name: str, shards: list[str], info: DatasetInfo, pixels_only: bool = False) -> list[Batch]:
    """The images of a split, a batch a shard."""
    text = info.model_dump_json()
    return [RealBatch(f"{name}-{i:06d}", shard, text, pixels_only) for i, shard in enumerate(shards)]


def made_batches(name: str, source: SourceAt, labels: np.ndarray, seeds: np.ndarray) -> list[Batch]:
    """The images of labels and seeds [n], `AT_ONCE` a batch."""
    parts = (slice(start, start + AT_ONCE) for start in range(0, len(labels), AT_ONCE))
    return [MadeBatch(f"{name}-{i:06d}", source, labels[part], seeds[part]) for i, part in enumerate(parts)]


def look(
    make_pipeline: Callable[[], beam.Pipeline],
    batches: list[Batch],
    eyes: EyesAt,
    directory: Path,
    may_fail: Collection[str] = (),
) -> dict[str, str]:
    """Looks at all batches; each leaves `<its name>.npz` in the directory.

    The file holds `labels` int64 [n], `pixels` float32 [n, p], and unless they are all that is wanted `features` [n, d]
    and `probabilities` [n, K], float32; of real images also `ids` (bytes [n]).

    Args:
      make_pipeline: makes a Beam pipeline that runs on leaving its context.
      batches: with different names.
      eyes: the networks.
      directory: where to; it exists, and all workers see it.
      may_fail: names of sets of batches (see `real_batches` and `made_batches`) that the others can do without.

    Returns:
      Of each of these that failed, its first fault; files of its batches may be missing.

    Raises:
      UserError: the first fault of any other, in the order of the batches' names.
    """
    try:
        with make_pipeline() as pipeline:
            _ = (
                pipeline
                | "Batches" >> beam.Create(batches, reshuffle=True)
                | "Look" >> beam.ParDo(_Look(eyes, str(directory), frozenset(may_fail)))
            )
    finally:
        _open.cache_clear()  # where workers are threads of this process
    faults: dict[str, str] = {}
    for path in sorted(directory.glob("*.fault")):
        faults.setdefault(_set_of(path.stem), path.read_text(encoding="utf-8"))
    for name, fault in faults.items():
        if name not in may_fail:
            raise UserError(fault)
    return faults


def gather(directory: Path, batches: Iterable[Batch]) -> Arrays:
    """What was seen of these batches, in their order, under the names that `look` describes."""
    files = []
    for batch in batches:
        with np.load(directory / f"{batch.name}.npz", allow_pickle=False) as arrays:
            files.append(dict(arrays))
    # A shard may hold no image of the split; of its arrays not even the width is known.
    filled = [file for file in files if len(file["labels"])] or files[:1]
    return {name: np.concatenate([file.pop(name) for file in filled]) for name in list(filled[0])}


def by_id(arrays: Arrays) -> Arrays:
    """The same images in the order of their ids, which is that of no shard: a hash of the pixels, so a random one."""
    order = np.argsort(arrays["ids"], kind="stable")
    return {name: array[order] for name, array in arrays.items()}


class _Look(beam.DoFn):
    """A batch -> a file, and nothing."""

    def __init__(self, eyes: EyesAt, directory: str, may_fail: frozenset[str]):
        self._eyes = eyes
        self._directory = Path(directory)
        self._may_fail = may_fail

    def setup(self) -> None:
        _opened(self._eyes)

    def process(self, batch: Batch) -> None:
        faulty = {_set_of(path.stem) for path in self._directory.glob("*.fault")}
        if _set_of(batch.name) in faulty or faulty - self._may_fail:  # nobody waits for the rest
            return
        try:
            seen = self._real(batch) if isinstance(batch, RealBatch) else self._made(batch)
        except UserError as fault:
            # Beam would tell a traceback as text, in words of its own.
            write_whole(self._directory / f"{batch.name}.fault", str(fault), flush=False)
            return
        buffer = io.BytesIO()
        np.savez(buffer, **seen)
        write_whole(self._directory / f"{batch.name}.npz", buffer.getvalue(), flush=False)

    def _real(self, batch: RealBatch) -> Arrays:
        eyes, parts = _opened(self._eyes), []
        info = DatasetInfo.model_validate_json(batch.info)
        records = tf.data.TFRecordDataset([batch.shard], compression_type="GZIP")
        for columns in decoded(records, info, AT_ONCE, "interpolate").as_numpy_iterator():
            labelled = columns["label"] != UNLABELLED
            images = columns["image"][labelled]
            if len(images):
                seen = {"pixels": eyes.pixels(images)} if batch.pixels_only else eyes.look(images)
                ids = columns["id"][labelled].astype(np.bytes_)
                parts.append({"labels": columns["label"][labelled], "ids": ids, **seen})
        if not parts:
            return {"labels": np.zeros(0, np.int64)}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _made(self, batch: MadeBatch) -> Arrays:
        images = _opened(batch.source).images(batch.labels, batch.seeds)
        return {"labels": batch.labels, **_opened(self._eyes).look(images)}


def _set_of(name: str) -> str:
    """Name of the set that a batch belongs to."""
    return name.rpartition("-")[0]


_opening = threading.Lock()


def _opened(at: EyesAt | SourceAt) -> Any:
    """What lies there, opened once a process."""
    with _opening:
        return _open(at)


@functools.cache
def _open(at: EyesAt | SourceAt) -> Any:
    return at.load()
