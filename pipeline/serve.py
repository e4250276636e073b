"""`tailgan serve`: what a run has pushed, or any models, over TensorFlow Serving's protocol."""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from components.evaluator.constants import SAMPLES_FILE
from models.dataset import DatasetInfo
from pipeline.config import ConfigError
from pipeline.record import RunRecord
from serving.errors import ServingError
from serving.flags import options_of
from serving.human_evaluation import FILE_NAME, Guessing


def base_path(root: Path) -> Path:
    """Directory of the versions of the generator that runs in a root push to; there may be none yet.

    Raises:
      ConfigError: if nothing was ever run there.
    """
    record = RunRecord.load(root)
    if record is None:
        raise ConfigError(f"{root}: no run here, so there is no model to serve; `tailgan run` makes one")
    return Path(record.serving_dir).resolve()


class RealImages:
    """Held-out real images of the newest evaluated run of a root: what "real or made?" shows."""

    def __init__(self, root: Path):
        self._root = root
        self._read: Path | None = None
        self._images: dict[str, np.ndarray] = {}

    def __call__(self) -> dict[str, np.ndarray]:
        """uint8 [n, H, W, C] by class name; while a run is under way, those of the one before."""
        try:
            record = RunRecord.load(self._root)
            evaluation = record.output("Evaluator", "evaluation") if record else None
            examples = record.output("ExampleGen", "examples") if record else None
            if evaluation and examples and evaluation != self._read:
                with np.load(evaluation / SAMPLES_FILE) as arrays:
                    real, counts = arrays["real"], arrays["real_count"]
                classes = DatasetInfo.load(str(examples)).classes
                self._images = {name: real[label][: counts[label]] for label, name in enumerate(classes)}
                self._read = evaluation
        except (ConfigError, OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # it is being written, or was removed
        return self._images


def serve(args: argparse.Namespace, root: Path | None) -> int:
    """Serves until it is told to stop.

    Args:
      args: with the flags of `serving.flags`.
      root: of a run whose generator is served; None if flags name the models.

    Raises:
      ConfigError: if flags, files or ports are wrong.
    """
    guessing = None
    if root is not None:
        path = base_path(root)
        guessing = Guessing(RealImages(root), root / FILE_NAME)
        args.model_name, args.model_base_path = path.name, str(path)
    from serving.server import serve

    try:
        return serve(options_of(args), lambda line: print(line, flush=True), guessing)
    except ServingError as error:
        raise ConfigError(error.message) from None
