"""`tailgan sample`: images from an exported or served generator, as files or as one grid."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from components.evaluator.served import what_serves
from models.files import write_whole
from pipeline.config import ConfigError
from pipeline.record import RunRecord
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import Client


def model_dir(root: Path) -> Path:
    """Directory of the generator that serves from a root.

    Raises:
      ConfigError: if none does.
    """
    record = RunRecord.load(root)
    served = what_serves(record.serving_dir) if record else None
    if served is None:
        raise ConfigError(f"{root}: no generator serves here; `tailgan report --root {root}` says why")
    return Path(served.path)


class Sampled(NamedTuple):
    """One image: the folder of its class, its seed, and a PNG file."""

    folder: str
    seed: int
    png: bytes


def label_index(text: str, classes: Sequence[str]) -> int:
    """Label of a class, given by name or, where no class is called so, by index.

    Raises:
      ConfigError: if there is no such class.
    """
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    raise ConfigError(f"--label {text}: no such class; the generator knows {shown} (or 0 to {len(classes) - 1})")


def of_model(model: Path, labels: Sequence[str], count: int, seed: int) -> list[Sampled]:
    """Images of an exported generator; equal arguments give equal bytes.

    Args:
      model: its directory.
      labels: class names or indices; none means all classes.
      count: images a class, of the seeds `seed`, `seed + 1`, ...

    Raises:
      ConfigError: for an unknown class or a directory that holds no generator.
    """
    _quiet()
    from models.generator import Generator

    try:
        generator = Generator(str(model))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{model}: not a generator: {error}") from None
    indices = [label_index(text, generator.classes) for text in labels] or list(range(len(generator.classes)))
    wanted = np.repeat(np.array(indices, np.int64), count)
    seeds = _seeds(seed, count, len(indices))
    folders = _folders(generator.classes)
    return list(map(Sampled, [folders[label] for label in wanted], seeds, generator.generate_png(wanted, seeds)))


def of_endpoint(url: str, labels: Sequence[str], count: int, seed: int) -> list[Sampled]:
    """Images of a served generator, the same as `of_model` has.

    Over TensorFlow Serving's protocol a model does not tell the names of its classes: it is asked which labels are
    names. All classes together are known by number only.

    Args:
      url: see `serving.client.Client`.
      labels: class names or indices; none means all classes, by index.
      count: images a class, of the seeds `seed`, `seed + 1`, ...

    Raises:
      ConfigError: for an unknown class, or if the endpoint does not answer.
    """
    _quiet()  # gRPC loads TensorFlow
    from serving.client import Client

    try:
        with Client(url) as client:
            texts = list(labels) or [str(label) for label in range(client.count_classes())]
            named = _names(client, labels)
            rows = np.repeat(np.arange(len(texts)), count)
            seeds = _seeds(seed, count, len(texts))
            pngs = [b""] * len(rows)
            # One series of requests, as `of_model` runs it, unless names and indices are mixed.
            for by_name in (True, False):
                part = [row for row, text in enumerate(rows) if (texts[text] in named) == by_name]
                wanted = [texts[rows[row]] if by_name else _index(texts[rows[row]]) for row in part]
                for row, png in zip(part, client.generate(wanted, [seeds[row] for row in part]), strict=True):
                    pngs[row] = png
    except ServingError as error:
        raise ConfigError(f"{url}: {error.message}") from None
    folders = _folders(texts)
    return list(map(Sampled, [folders[text] for text in rows], seeds, pngs))


def _names(client: "Client", labels: Sequence[str]) -> set[str]:
    """Those labels that are names of classes."""
    if not labels or "by_name" not in client.signatures():
        return set()
    answer = client.predict({"name": list(labels), "seed": [0] * len(labels)}, "by_name")
    known = {text for text, status in zip(labels, answer["status"], strict=True) if status == b"ok"}
    for text, status in zip(labels, answer["status"], strict=True):
        if text not in known and not text.isdecimal():
            raise ConfigError(f"--label {text}: no such class; the endpoint says: {status.decode()}")
    return known


def _index(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--label {text}: this model has no signature `by_name`: name classes by index")
    return int(text)


def _seeds(seed: int, count: int, classes: int) -> np.ndarray:
    return np.tile(np.arange(seed, seed + count, dtype=np.int64), classes)


def _quiet() -> None:
    """What TensorFlow and its plug-ins say on loading is for no one who samples."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")


def write(images: Sequence[Sampled], columns: int, out: Path) -> list[Path]:
    """Writes images, and returns the files.

    Args:
      images: row by row.
      columns: of a grid.
      out: a `.png` file for one grid, or a directory for `<class>/<seed>.png`.
    """
    if out.suffix.lower() == ".png":
        out.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        _grid([image.png for image in images], columns).save(buffer, "PNG")
        write_whole(out, buffer.getvalue())
        return [out]
    paths = [out / image.folder / f"{image.seed}.png" for image in images]
    for path, image in zip(paths, images, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, image.png, flush=False)
    return paths


def _folders(classes: Sequence[str]) -> list[str]:
    """Class names as folder names, none of which leads elsewhere or is that of another class."""
    names = [name.replace("/", "_").replace("\\", "_").lstrip(".") or "_" for name in classes]
    uses = Counter(names)
    taken = set(names)
    folders = []
    for label, name in enumerate(names):
        folder = name
        if uses[name] > 1:
            folder = f"{name}_{label}"
            while folder in taken:
                folder += "_"
            taken.add(folder)
        folders.append(folder)
    return folders


def _grid(pngs: Sequence[bytes], columns: int) -> Image.Image:
    """A grid, row by row, one grey pixel or more between the images."""
    images = [Image.open(io.BytesIO(png)) for png in pngs]
    width, height = images[0].size
    gap = max(1, width // 16)
    rows = -(-len(images) // columns)
    grid = Image.new(images[0].mode, (columns * (width + gap) - gap, rows * (height + gap) - gap), "grey")
    for i, image in enumerate(images):
        grid.paste(image, ((i % columns) * (width + gap), (i // columns) * (height + gap)))
    return grid
