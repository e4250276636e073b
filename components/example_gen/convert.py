"""The first pass over the images: each part is read, decoded, brought to size and written as examples."""

import json
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components import examples
from components.example_gen import split
from components.example_gen.decoder import Decoder
from components.example_gen.images import BadImage
from components.example_gen.options import DataOptions
from components.example_gen.scratch import Scratch, Summary, json_line
from components.example_gen.sources import Chunk, Source, open_source

_SHOWN = 3  # bad images of a part that an error message can choose from


def convert(source: Source, index: int, chunk: Chunk, decoder: Decoder, seed: int, scratch: Scratch) -> Summary:
    """Writes the examples of a part, their keys and what could not be read to `scratch`."""
    rows, keys, bad = [], [], []
    found = np.zeros(len(source.classes), np.int64)
    grouped = False
    with tf.io.TFRecordWriter(scratch.records(index)) as out:
        for raw, decoded in decoder.decode(source.read(chunk)):
            try:
                if raw.label is not None:
                    if not 0 <= raw.label < len(source.classes):
                        raise BadImage(f"label {raw.label} is none of 0 to {len(source.classes) - 1}")
                    found[raw.label] += 1
                if isinstance(decoded, BadImage):
                    raise decoded
            except BadImage as error:
                bad.append((raw.key, str(error)))
                continue
            out.write(
                examples.serialize(decoded.png, split.wire_label(raw), decoded.content.hex().encode(), decoded.mask)
            )
            rows.append(split.row(raw, decoded.content, seed))
            keys.append(raw.key)
            grouped |= raw.group is not None
    Path(scratch.keys(index)).write_text(json.dumps(keys), encoding="utf-8")
    Path(scratch.bad(index)).write_text(
        "".join(json_line(path=key, reason=reason) for key, reason in bad), encoding="utf-8"
    )
    return Summary(index, np.array(rows, split.ROW), found, len(bad), tuple(bad[:_SHOWN]), grouped)


class Convert(beam.DoFn):
    """(index, chunk) -> Summary."""

    def __init__(self, options: str, span: int, scratch: Scratch):
        """Takes DataOptions as JSON, and the newest span of the source when it was looked at."""
        self._options, self._span = options, span
        self._scratch = scratch

    def setup(self) -> None:
        """Opens the source once a worker, which has decoders of its own."""
        options = DataOptions.model_validate_json(self._options)
        self._seed = options.seed
        self._source = open_source(options, self._span)
        self._decoder = Decoder(options)

    def process(self, element: tuple[int, Chunk]) -> Iterator[Summary]:
        """Converts one part."""
        yield convert(self._source, *element, self._decoder, self._seed, self._scratch)

    def teardown(self) -> None:
        """Ends the decoders."""
        self._decoder.close()
