"""The second pass over the images: each part's examples are copied to where it was decided that they belong."""

import os

from components import examples
from components.example_gen import split
from components.example_gen.decide import Fate
from components.example_gen.scratch import Scratch


def write_shards(fate: Fate, shards: int, scratch: Scratch, uri: str) -> None:
    """Writes a part's shard of the train and of the eval split, both even if they are empty.

    Args:
      fate: index of the part, and what becomes of each of its examples.
      shards: how many parts there are.
      scratch: where the part's examples are.
      uri: of the Examples artifact.
    """
    index, assignment = fate
    train, held_out = (
        os.path.join(examples.split_dir(uri, name), examples.shard_name(index, shards)) for name in ("train", "eval")
    )
    with examples.writer(train) as train_file, examples.writer(held_out) as eval_file:
        files = {split.TRAIN: train_file, split.EVAL: eval_file}
        for record, where in zip(examples.read(scratch.records(index), ""), assignment.tolist(), strict=True):
            if where in files:
                files[where].write(record)
