"""What each signature of a generator is asked, and what its answers hold."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from components.serving_validator.options import BATCH_SIZES
from models.signatures import OK

VALUES_AT_ONCE = 2**20  # of arrays, which REST writes as text

# {alias: a row for each image}: int64, float32, or of bytes, dtype object.
Columns = dict[str, np.ndarray]


class Malformed(Exception):
    """An answer is not of the form that was promised."""


@dataclass(frozen=True)
class Answer:
    """What was made of an answer.

    Attributes:
      images: float64 [n, H, W, C] in grey levels, 0 to 255; black where there is none.
      faults: of the rows that are not as they should be, in words.
    """

    images: np.ndarray
    faults: list[str]


@dataclass(frozen=True)
class Signature:
    """A signature of a generator whose `assets.extra/tailgan.json` holds `metadata`."""

    name: str
    metadata: Mapping[str, Any]

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.metadata["classes"])

    @property
    def rows(self) -> int:
        """Of a large request."""
        values = int(np.prod(self.metadata["image_shape"])) if self.name == "array" else 1
        return max(1, min(BATCH_SIZES[-1], VALUES_AT_ONCE // values))

    def labels(self) -> np.ndarray:
        """Labels of a large request, one class after the other."""
        return np.arange(self.rows) % self.classes

    def question(self, labels: np.ndarray, first_seed: int = 0) -> Columns:
        """Columns that ask for images of labels [n] and as many seeds; the label after the last is of no class.

        Raises:
          Malformed: if the signature wants something else.
        """
        seeds = first_seed + np.arange(len(labels), dtype=np.int64)
        names = [*self.metadata["classes"], self.nobody()]
        z = np.random.default_rng(abs(first_seed)).normal(size=(len(labels), self.metadata["latent_dim"]))
        columns = {
            "label": labels.astype(np.int64),
            "seed": seeds,
            "name": np.array([names[label].encode() for label in labels], object),
            "truncation": np.ones(len(labels), np.float32),
            "z": z.astype(np.float32),
        }
        wanted = self.metadata["signatures"][self.name]
        if unknown := sorted(wanted.keys() - columns.keys()):
            raise Malformed(f"nobody knows what to give for {', '.join(unknown)}")
        return {alias: columns[alias] for alias in wanted}

    def nobody(self) -> str:
        """A name that no class has."""
        name = "no such class"
        while name in self.metadata["classes"]:
            name += "!"
        return name

    def unknown(self) -> str:
        """How the status of a row begins whose class is not known."""
        if "name" in self.metadata["signatures"][self.name]:
            return f"unknown name {self.nobody()}: allowed "
        return f"unknown label {self.classes}: allowed 0..{self.classes - 1}"

    def read(self, answer: Columns, wanted: Sequence[str]) -> Answer:
        """Takes an answer apart.

        Args:
          answer: as an interface gives it.
          wanted: of each row `OK`, or how its status must begin.

        Raises:
          Malformed: if outputs or rows are missing.
        """
        output = "image" if self.name == "array" else "image_bytes"
        if missing := sorted({output, "status"} - answer.keys()):
            raise Malformed(f"no output {', '.join(missing)}; there are {', '.join(sorted(answer))}")
        if any(column.shape[:1] != (len(wanted),) for column in answer.values()):
            shapes = ", ".join(f"{alias} {list(column.shape)}" for alias, column in sorted(answer.items()))
            raise Malformed(f"{len(wanted)} rows were asked for, and the answer has {shapes}")
        shape = tuple(self.metadata["image_shape"])
        images, faults = np.zeros((len(wanted), *shape)), []
        for row, (value, status) in enumerate(zip(answer[output], answer["status"], strict=True)):
            told = bytes(status).decode(errors="replace")
            try:
                self._check_status(told, wanted[row])
                if told == OK:
                    images[row] = _from_array(value, shape) if output == "image" else _from_png(value, shape)
                elif np.any(value) if output == "image" else value:
                    raise Malformed(f"there is an image, although the status is `{told}`")
            except Malformed as fault:
                faults.append(f"row {row}: {fault}")
        return Answer(images, faults)

    def _check_status(self, told: str, wanted: str) -> None:
        if wanted == OK and self.name == "filtered" and told.startswith("none of "):
            return  # that no image passes is for the filter to say
        if told != OK if wanted == OK else not told.startswith(wanted):
            raise Malformed(f"the status is `{told}`, not `{wanted}`")


def _from_png(png: bytes, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise Malformed(f"no PNG file that can be read: {error}") from None
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise Malformed(f"an image of {pixels.dtype} {list(pixels.shape)}, not uint8 {list(shape)}")
    return pixels.astype(np.float64)


def _from_array(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if value.shape != shape:
        raise Malformed(f"an array {list(value.shape)}, not {list(shape)}")
    if not (value.min() >= 0 and value.max() <= 1):  # so that NaN is none of them
        raise Malformed(f"values from {value.min():g} to {value.max():g}, not from 0 to 1")
    return value.astype(np.float64) * 255
