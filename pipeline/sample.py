"""`tailgan sample`: images from an exported generator, as files or as one grid."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from components.evaluator.served import what_serves
from models.files import write_whole
from pipeline.config import ConfigError
from pipeline.record import RunRecord


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


def sample(model: Path, labels: Sequence[str], count: int, seed: int, out: Path) -> list[Path]:
    """Writes images; equal arguments give equal bytes.

    Args:
      model: directory of an exported generator.
      labels: class names or indices; none means all classes.
      count: images a class, of the seeds `seed`, `seed + 1`, ...
      out: a `.png` file for one grid with a row a class, or a directory for `<class>/<seed>.png`.

    Raises:
      ConfigError: for an unknown class or a directory that holds no generator.
    """
    # What TensorFlow and its plug-ins say on loading is for no one who samples.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    from models.generator import Generator

    try:
        generator = Generator(str(model))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{model}: not a generator: {error}") from None
    indices = [label_index(text, generator.classes) for text in labels] or list(range(len(generator.classes)))
    wanted = np.repeat(np.array(indices, np.int64), count)
    seeds = np.tile(np.arange(seed, seed + count, dtype=np.int64), len(indices))
    pngs = generator.generate_png(wanted, seeds)
    if out.suffix.lower() == ".png":
        out.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        _grid(pngs, count).save(buffer, "PNG")
        write_whole(out, buffer.getvalue())
        return [out]
    folders = _folders(generator.classes)
    paths = [out / folders[label] / f"{s}.png" for label, s in zip(wanted, seeds, strict=True)]
    for path, png in zip(paths, pngs, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, png, flush=False)
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
