"""What is judged: an exported generator, or a folder of images that any program has made."""

import json
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from components.evaluator.served import fingerprint
from components.example_gen.decoder import Decoder
from components.example_gen.images import BadImage, is_plain_png
from components.example_gen.options import DataOptions
from components.example_gen.sources.image_folder import ImageFolder
from models.data import decode
from models.errors import UserError
from models.missing import fill
from models.versions import METADATA_FILE

SIGNATURE = "serving_default"
OK = "ok"
ASKED_AT_ONCE = 256
_NAMED = 5  # at most so many classes in a message


class OtherClasses(UserError):
    """What is judged has other classes than the data."""


class Source(Protocol):
    """Generated images, by label of the data."""

    fingerprint: str
    """Changes when the images do."""
    classes: tuple[str, ...]
    """Class names, by label of the data."""
    image_shape: tuple[int, int, int]
    """(H, W, C)."""
    remarks: list[str]
    """What a reader of the figures should know."""

    def available(self, label: int) -> int | None:
        """How many images of a class there are; None if there is no end of them."""

    def images(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """uint8 [n, H, W, C] for labels and seeds, int64 [n] each.

        Where there is an end of the images, the seed is the place of one among those of its class, from 0.

        Raises:
          UserError: if what comes is not what was asked for.
        """


@dataclass(frozen=True)
class SourceAt:
    """Where a source lies and what it should give, for any process to open it.

    Attributes:
      path: directory of a SavedModel, or with `data` a folder of class folders.
      classes: class names of the data, by label.
      image_shape: (H, W, C) of the data.
      data: None for a SavedModel; of a folder, how the data were brought to their size.
    """

    path: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    data: DataOptions | None = None

    def load(self) -> Source:
        """Raises as `ExportedGenerator` and `FolderOfImages`."""
        if self.data is None:
            return ExportedGenerator(self.path, self.classes, self.image_shape)
        return FolderOfImages(self.path, self.classes, self.data)


class ExportedGenerator:
    """A SavedModel with the signature of an exported generator; a `Source`."""

    def __init__(self, path: str, classes: Sequence[str], image_shape: Sequence[int]):
        """Loads it.

        Args:
          path: directory of the SavedModel.
          classes: class names of the data. The model's own may be in another order; if it names none, they are taken
            to be these.
          image_shape: (H, W, C) that its images should have.

        Raises:
          OtherClasses: if it makes other classes; the message says which.
          UserError: if it is no such SavedModel, is damaged, or makes images of another shape.
        """
        self._path = path
        try:
            about = _about(path)
            self._model, self._signature = _load(path)
        except Exception as error:  # whatever TensorFlow meets in a damaged model
            raise UserError(f"{path} holds no generator: {error}") from error
        self.fingerprint = fingerprint(Path(path))
        self.classes = tuple(classes)
        self.image_shape = (image_shape[0], image_shape[1], image_shape[2])
        names, shape = about or (self.classes, self.image_shape)
        _check_classes(names, self.classes, path)
        self._theirs = np.array([names.index(name) for name in self.classes], np.int64)
        self.remarks = (
            [] if about else [f"{path} does not name its classes; they were taken to be {_listed(self.classes)}"]
        )
        if shape != self.image_shape:
            raise UserError(f"{path} makes images of {_shape(shape)}; those of the data are {_shape(image_shape)}")

    def available(self, label: int) -> None:
        """There is no end of them."""

    def images(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """See `Source.images`."""
        found = np.empty((len(labels), *self.image_shape), np.uint8)
        for start in range(0, len(labels), ASKED_AT_ONCE):
            part = slice(start, start + ASKED_AT_ONCE)
            for row, png in enumerate(self._pngs(labels[part], seeds[part]), start):
                found[row] = self._pixels(png, labels[row], seeds[row])
        return found

    def _pngs(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """What the model answers, after a look at its form: bytes [n]."""
        question = {"label": tf.constant(self._theirs[labels], tf.int64), "seed": tf.constant(seeds, tf.int64)}
        try:
            answer = self._signature(**question)
        except Exception as error:  # whatever TensorFlow meets in a model that another program made
            said = error.message if isinstance(error, tf.errors.OpError) else error
            raise UserError(f"{self._path} fails when it is called: {said}") from error
        for name in ("image_bytes", "status"):
            given = answer[name]
            if given.dtype != tf.string or given.shape != (len(labels),):
                raise UserError(
                    f"{self._path}: asked for {len(labels)} images, it gave `{name}` as {given.dtype.name} of shape "
                    f"{tuple(given.shape)}; it must be string of shape ({len(labels)},)"
                )
        for row, status in enumerate(answer["status"].numpy()):
            if status.decode(errors="replace") != OK:
                raise UserError(
                    f"{self._path}: for {self._asked(labels[row], seeds[row])} its status was "
                    f"`{status.decode(errors='replace')}`, not `{OK}`"
                )
        return answer["image_bytes"].numpy()

    def _pixels(self, png: bytes, label: int, seed: int) -> np.ndarray:
        try:
            pixels = tf.io.decode_png(png).numpy()
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{self._path}: for {self._asked(label, seed)} it gave {len(png)} bytes, no PNG") from None
        if pixels.shape != self.image_shape:
            raise UserError(
                f"{self._path}: for {self._asked(label, seed)} it gave an image of {_shape(pixels.shape)}; those of "
                f"the data are {_shape(self.image_shape)}"
            )
        return pixels

    def _asked(self, label: int, seed: int) -> str:
        return f"class `{self.classes[label]}` and seed {seed}"


class FolderOfImages:
    """Images in class folders, brought to the data's size and channels as ExampleGen does it; a `Source`."""

    def __init__(self, path: str, classes: Sequence[str], data: DataOptions):
        """Looks at the folders.

        Args:
          path: of the folder that holds a folder for each class.
          classes: class names of the data.
          data: how the data were brought to their size.

        Raises:
          OtherClasses: if there are other class folders; the message says which.
          UserError: if the folders are not laid out like this, or one holds fewer than two images.
        """
        self._path = path
        try:
            self._folder = ImageFolder(path, None, data.max_pixels)
        except UserError as fault:
            raise UserError(str(fault).removeprefix(f"`{fault.key}`: ")) from None
        _check_classes(self._folder.classes, classes, path)
        self.classes = tuple(classes)
        self.image_shape: tuple[int, int, int] = (*data.image_size, data.channels)
        self.fingerprint = self._folder.fingerprint()
        self._paths: dict[str, list[bytes]] = {name: [] for name in classes}
        for file in sorted(file for chunk in self._folder.chunks() for file in chunk.split(b"\0")):
            self._paths[os.fsdecode(os.path.basename(os.path.dirname(file)))].append(file)
        for name, files in self._paths.items():
            if len(files) < 2:
                raise UserError(f"{path} holds {len(files)} image of class `{name}`; at least 2 are needed")
        self._decoder = Decoder(data)
        weakref.finalize(self, self._decoder.close)
        self._lock = threading.Lock()  # a decoder is for one caller at a time
        self.remarks = [] if self._is_as_wanted(data) else [self._told(data)]

    def available(self, label: int) -> int:
        """How many files its folder holds."""
        return len(self._paths[self.classes[label]])

    def images(self, labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """See `Source.images`; the images of a class are in the order of their paths."""
        found = np.empty((len(labels), *self.image_shape), np.uint8)
        wanted: dict[str, list[int]] = {}
        for row, (label, place) in enumerate(zip(labels.tolist(), seeds.tolist(), strict=True)):
            wanted.setdefault(os.fsdecode(self._paths[self.classes[label]][place]), []).append(row)
        with self._lock:
            for raw, decoded in self._decoder.decode(self._folder.read(b"\0".join(map(os.fsencode, wanted)))):
                if isinstance(decoded, BadImage):
                    raise UserError(f"{os.path.join(self._path, raw.key)} cannot be read: {decoded}")
                pixels = decode(decoded.png, self.image_shape)
                if decoded.mask:
                    mask = decode(decoded.mask, (*self.image_shape[:2], 1)) // 255
                    pixels = fill(pixels[tf.newaxis], mask[tf.newaxis])[0]
                found[wanted[raw.key]] = pixels.numpy()
        return found

    def _is_as_wanted(self, data: DataOptions) -> bool:
        """Whether the first image of each class is of the size and the channels of the data."""
        firsts = b"\0".join(files[0] for files in self._paths.values())
        return all(
            isinstance(raw.data, bytes) and is_plain_png(raw.data, *data.image_size, data.channels)
            for raw in self._folder.read(firsts)
        )

    def _told(self, data: DataOptions) -> str:
        kind = "grey" if data.channels == 1 else "colour"
        return (
            f"images of {self._path} are not all {_shape(self.image_shape)}: they were brought to "
            f"{data.image_size[1]} x {data.image_size[0]} pixels in {kind} as the data were (`resize: {data.resize}`)"
        )


def _load(path: str) -> tuple[Any, Any]:
    """A SavedModel, which has to be kept as long as its signature is called, and the signature.

    Raises:
      OSError: if there is none.
      ValueError: if it has no such signature.
    """
    model = tf.saved_model.load(path)
    found = model.signatures.get(SIGNATURE)
    inputs = found.structured_input_signature[1].keys() if found else set()
    if found is None or {"label", "seed"} != inputs or {"image_bytes", "status"} - found.structured_outputs.keys():
        raise ValueError(f"no signature `{SIGNATURE}` from label and seed to image_bytes and status")
    return model, found


def _about(path: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Class names and image shape, as an exported generator says them of itself; None of a model from elsewhere.

    Raises:
      ValueError: if its file does not say them.
    """
    file = Path(path) / METADATA_FILE
    if not file.is_file():
        return None
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        return tuple(map(str, about["classes"])), tuple(map(int, about["image_shape"]))
    except KeyError as error:
        raise ValueError(f"its {METADATA_FILE} does not say its {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"its {METADATA_FILE} is damaged ({error})") from error


def _check_classes(theirs: Sequence[str], wanted: Sequence[str], path: str) -> None:
    missing = [name for name in wanted if name not in theirs]
    unknown = [name for name in theirs if name not in wanted]
    if missing or unknown:
        lacks = f"it lacks {_listed(missing)}" if missing else ""
        has = f"it has {_listed(unknown)} besides" if unknown else ""
        raise OtherClasses(f"{path} has other classes than the data: {' and '.join(filter(None, (lacks, has)))}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) + " (height x width x channels)"
