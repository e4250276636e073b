"""A few images of each class for people to look at: real ones, generated ones, and what these come nearest to."""

import numpy as np
import tensorflow as tf

from components import examples
from components.evaluator.looking import AT_ONCE, Arrays
from components.evaluator.sources import Source
from metrics import distances
from models.data import decoded
from models.dataset import DatasetInfo

SHOWN = 10


def collect(source: Source, seeds: np.ndarray, made: Arrays, real: Arrays, known: Arrays, uri: str) -> Arrays:
    """The first images of each class, and the training image of the class nearest to each generated one, by pixels.

    Args:
      source: of the generated images.
      seeds: [m] int64, of those in `made`.
      made, real, known: what was seen of generated, held-out and training images, see `looking.look`.
      uri: of the Examples artifact.

    Returns:
      `real`, `generated` and `nearest`, uint8 [K, SHOWN, H, W, C], of which class k has `real_count`[k] and
      `generated_count`[k], int64 [K]; the rest is black. `nearest_distance` [K, SHOWN] float32, in units of the full
      range of a pixel: 0 for a copy, infinite where there is none.
    """
    info = DatasetInfo.load(uri)
    rows = {label: np.flatnonzero(made["labels"] == label)[:SHOWN] for label in range(len(info.classes))}
    grid = (len(info.classes), SHOWN)
    nearest_id = np.zeros(grid, known["ids"].dtype)
    real_id = np.zeros(grid, real["ids"].dtype)
    distance = np.full(grid, np.inf, np.float32)
    generated = np.zeros((*grid, *info.image_shape), np.uint8)
    for label, chosen in rows.items():
        if len(chosen):
            generated[label, : len(chosen)] = source.images(made["labels"][chosen], seeds[chosen])
        of_class = np.flatnonzero(known["labels"] == label)
        if len(chosen) and len(of_class):
            queries, references = distances.points(made["pixels"][chosen], known["pixels"][of_class])
            distance[label, : len(chosen)], index = distances.nearest(queries, references)
            nearest_id[label, : len(chosen)] = known["ids"][of_class[index]]
        ids = real["ids"][real["labels"] == label][:SHOWN]
        real_id[label, : len(ids)] = ids
    return {
        "real": _images(uri, "eval", real_id, info),
        "real_count": np.sum(real_id != b"", axis=1),
        "generated": generated,
        "generated_count": np.array([len(chosen) for chosen in rows.values()], np.int64),
        "nearest": _images(uri, "train", nearest_id, info),
        "nearest_distance": distance,
    }


def _images(uri: str, split: str, ids: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """uint8 [*ids.shape, H, W, C] of the images with these ids, bytes; black where the id is empty."""
    found = np.zeros((*ids.shape, *info.image_shape), np.uint8)
    wanted = np.unique(ids)
    records = tf.data.TFRecordDataset(examples.shards(uri, split), compression_type="GZIP")
    for batch in decoded(records, info, AT_ONCE, "interpolate").as_numpy_iterator():
        for row in np.flatnonzero(np.isin(batch["id"].astype(np.bytes_), wanted[wanted != b""])):
            found[ids == batch["id"][row]] = batch["image"][row]
    return found
