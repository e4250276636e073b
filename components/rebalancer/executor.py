"""Reads examples, decides how often each is seen in training, and writes them again with loss weights.

Two passes over the train split: the first reads label and id of every image, the second emits each image as often as
the plan says. Shard i of the input becomes shard i of the output in the same order, so the output's bytes depend on
the input and the options alone, not on the number of workers; images are streamed and never shuffled between workers.
Copies lie next to each other: whoever trains shuffles.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import Artifact, artifact_utils

from components import examples
from components.rebalancer import plan, strategies
from components.rebalancer.options import RebalanceOptions
from models.dataset import UNLABELLED, DatasetInfo

REBALANCE_FILE = "rebalance.json"
# The Trainer reads the only file in a HyperParameters artifact; this is the name that TFX's Tuner gives it.
HYPERPARAMETERS_FILE = "best_hyperparameters.txt"

log = logging.getLogger("tailgan")

# Path of a shard; label (int64) and rank (uint64) of each of its n images.
Summary = tuple[str, np.ndarray, np.ndarray]
# Path of a shard; how often (uint32) each of its n images is emitted.
Plan = tuple[str, np.ndarray]


def summarise(path: str, seed: int) -> Summary:
    """First pass over one shard."""
    labels, ranks = [], []
    for record in examples.read(path):
        feature = tf.train.Example.FromString(record).features.feature
        labels.append(feature["label"].int64_list.value[0])
        ranks.append(plan.rank(seed, feature["id"].bytes_list.value[0]))
    return path, np.array(labels, np.int64), np.array(ranks, np.uint64)


def plan_shards(summaries: Iterable[Summary], target: list[int]) -> Iterator[Plan]:
    """The plan of each shard, from the summaries of all of them in any order."""
    ordered = sorted(summaries, key=lambda summary: summary[0])
    shards = [(labels, ranks) for _, labels, ranks in ordered]
    yield from zip([path for path, _, _ in ordered], plan.copies(shards, target), strict=True)


def write_shard(planned: Plan, output_dir: str, weights: list[float]) -> None:
    """Second pass over one shard: writes each example as often as planned, with the `weight` of its class, or 1."""
    path, copies = planned
    with examples.writer(os.path.join(output_dir, os.path.basename(path))) as out:
        for record, times in zip(examples.read(path), copies.tolist(), strict=True):
            if times:
                example = tf.train.Example.FromString(record)
                feature = example.features.feature
                label = feature["label"].int64_list.value[0]
                feature["weight"].float_list.value[:] = [1.0 if label == UNLABELLED else weights[label]]
                weighted = example.SerializeToString(deterministic=True)
                for _ in range(times):
                    out.write(weighted)


def rebalance(
    pipeline: beam.Pipeline, shards: list[str], output_dir: str, target: list[int], weights: list[float], seed: int
) -> None:
    """Adds both passes to a Beam pipeline.

    Args:
      pipeline: where to.
      shards: paths of the shards of the train split.
      output_dir: directory of the rebalanced split.
      target: examples of each class, by label.
      weights: loss weight of each class, by label.
      seed: decides which images are thinned out or repeated once more.
    """
    _ = (
        pipeline
        | "Shards" >> beam.Create(shards, reshuffle=True)
        | "Summarise" >> beam.Map(summarise, seed)
        | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "Plan" >> beam.FlatMap(plan_shards, target)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.Map(write_shard, output_dir, weights)
    )


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of the Rebalancer."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Rebalances the train split and copies the eval split byte for byte.

        Args:
          input_dict:
            - source: Examples as components/examples.py describes them, without weights.
          output_dict:
            - examples: the same with the train split rebalanced and weighted, `dataset.json` brought up to date, and
              `rebalance.json` {class: {before, after, weight}}.
            - hyperparameters: HyperParameters {class_weights, counts_before, counts_after}, a list by label each.
          exec_properties:
            - options: RebalanceOptions as JSON.
            - code_version: only part of the cache key.

        Raises:
          UserError: if the strategy does not fit the data.
        """
        options = RebalanceOptions.model_validate_json(exec_properties["options"])
        source = artifact_utils.get_single_instance(input_dict["source"])
        artifact = artifact_utils.get_single_instance(output_dict["examples"])
        info = DatasetInfo.load(source.uri)
        before = info.counts["train"]
        after = tuple(strategies.target_counts(options, before, info.classes).values())
        weights = strategies.class_weights(options.class_weights, after, options.beta).tolist()

        with self._make_beam_pipeline() as pipeline:
            output_dir = examples.split_dir(artifact.uri, "train")
            rebalance(pipeline, examples.shards(source.uri, "train"), output_dir, list(after), weights, options.seed)
        _copy_split(source.uri, artifact.uri, "eval")

        examples.describe(artifact, span=source.span, version=source.version)
        info.model_copy(
            update={
                "counts": {**info.counts, "train": after},
                "train_unique": tuple(map(min, info.train_unique, after)),
                "class_weights": tuple(weights),
            }
        ).save(artifact.uri)
        rows = zip(info.classes, before, after, weights, strict=True)
        _write_json(
            os.path.join(artifact.uri, REBALANCE_FILE),
            {name: {"before": old, "after": new, "weight": weight} for name, old, new, weight in rows},
        )
        _write_json(
            os.path.join(artifact_utils.get_single_uri(output_dict["hyperparameters"]), HYPERPARAMETERS_FILE),
            {"class_weights": weights, "counts_before": before, "counts_after": after},
        )
        rarest = int(np.argmin(before))
        log.info(
            "training examples: %d -> %d; of the rarest class, %s: %d -> %d",
            sum(before), sum(after), info.classes[rarest], before[rarest], after[rarest],
        )  # fmt: skip


def _copy_split(source: str, destination: str, split: str) -> None:
    """Copies the files of a split as they are."""
    tf.io.gfile.makedirs(examples.split_dir(destination, split))
    for path in examples.shards(source, split):
        tf.io.gfile.copy(path, os.path.join(examples.split_dir(destination, split), os.path.basename(path)))


def _write_json(path: str, value: Any) -> None:
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(value, indent=2))
