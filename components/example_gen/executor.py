"""Reads a source of images and writes them as split examples of one size.

Two passes. The first converts each part of the source to a file of its own and keeps 37 bytes of each image in mind;
from these alone it is decided what becomes of the images; the second pass copies each part's examples into its shard
of either split. No image travels between workers, each part's shards depend on the part and the plan alone, and so the
output's bytes do not depend on the number of workers, nor the memory on the number of images (but for the 37 bytes).
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tfx.dsl.components.base import base_beam_executor
from tfx.types import Artifact, artifact_utils

from components import examples
from components.example_gen.convert import Convert
from components.example_gen.decide import decide
from components.example_gen.options import DataOptions
from components.example_gen.scratch import Scratch, json_line
from components.example_gen.sources import Source, open_source
from components.example_gen.write import write_shards
from models.dataset import DatasetInfo
from models.errors import UserError

QUARANTINE_FILE = "quarantine.jsonl"
DUPLICATES_FILE = "duplicates.jsonl"

log = logging.getLogger("tailgan")


def ingest(pipeline: beam.Pipeline, source: Source, options: str, scratch: Scratch, uri: str) -> None:
    """Adds both passes to a Beam pipeline.

    Args:
      pipeline: where to.
      source: of the images.
      options: DataOptions as JSON, which name the same source.
      scratch: an empty directory for what is written between the passes.
      uri: of the Examples artifact.
    """
    chunks = list(enumerate(source.chunks()))
    _ = (
        pipeline
        | "Parts" >> beam.Create(chunks, reshuffle=True)
        | "Convert" >> beam.ParDo(Convert(options, source.span, scratch))
        | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "Decide" >> beam.FlatMap(decide, options, source.classes, scratch)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.Map(write_shards, len(chunks), scratch, uri)
    )


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of ExampleGen."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Ingests the source.

        Args:
          input_dict: empty.
          output_dict:
            - examples: Examples as components/examples.py describes them; besides, `quarantine.jsonl` {path, reason}
              of images that could not be read, and `duplicates.jsonl` {path, of} of those dropped because another has
              equal pixels.
          exec_properties:
            - options: DataOptions as JSON.
            - span: the newest span when the driver looked; later ones are left to the next run.
            - source_fingerprint, code_version: only part of the cache key.

        Raises:
          UserError: if the source is not as it should be, too many images cannot be read, or a class has too few.
        """
        options = exec_properties["options"]
        artifact = artifact_utils.get_single_instance(output_dict["examples"])
        source = open_source(DataOptions.model_validate_json(options), int(exec_properties["span"]))
        scratch = Scratch(os.path.join(artifact.uri, ".tmp-ingest"))
        shutil.rmtree(artifact.uri, ignore_errors=True)  # what a try before this one has left
        os.makedirs(scratch.directory)
        try:
            with self._make_beam_pipeline() as pipeline:
                ingest(pipeline, source, options, scratch, artifact.uri)
            if os.path.exists(scratch.fault):
                raise UserError(Path(scratch.fault).read_text(encoding="utf-8"))
            _write_quarantine(scratch, Path(artifact.uri, QUARANTINE_FILE))
            _write_duplicates(scratch, Path(artifact.uri, DUPLICATES_FILE))
            info = DatasetInfo.load(scratch.directory)
        finally:
            shutil.rmtree(scratch.directory)
        examples.describe(artifact, span=source.span)
        info.save(artifact.uri)
        if source.ignored:
            log.info("no spans, because there is no number in their names: %s", ", ".join(source.ignored))
        _tell(info)


def _write_quarantine(scratch: Scratch, path: Path) -> None:
    """Joins what the parts have found, in their order."""
    with path.open("w", encoding="utf-8") as out:
        for part in sorted(Path(scratch.directory).glob("bad-*.jsonl")):
            out.write(part.read_text(encoding="utf-8"))


def _write_duplicates(scratch: Scratch, path: Path) -> None:
    """Gives the planned duplicates their names; no other names are in memory but those of one part."""
    table = np.load(scratch.duplicates)
    places = np.unique(np.concatenate([table[:, :2], table[:, 2:]]), axis=0)
    names = {}
    for part in np.unique(places[:, 0]).tolist():
        keys = json.loads(Path(scratch.keys(part)).read_text(encoding="utf-8"))
        names.update({(part, row): keys[row] for row in places[places[:, 0] == part, 1].tolist()})
    with path.open("w", encoding="utf-8") as out:
        for part, row, kept_part, kept_row in table.tolist():
            out.write(json_line(path=names[part, row], of=names[kept_part, kept_row]))


def _tell(info: DatasetInfo) -> None:
    train, held_out = (sum(info.counts[name]) for name in examples.SPLITS)
    log.info("images: %d in train, %d in eval, of %d classes", train, held_out, len(info.classes))
    if info.unlabelled:
        log.info("%d images without a class, in train", info.unlabelled)
    if info.duplicates:
        log.info("%d images dropped because another has equal pixels (%s)", info.duplicates, DUPLICATES_FILE)
    if info.quarantined:
        log.warning("%d images could not be read (%s)", info.quarantined, QUARANTINE_FILE)
