"""`tailgan serve`: what a run has pushed, or any models, over TensorFlow Serving's protocol."""

import argparse
from pathlib import Path

from pipeline.config import ConfigError
from pipeline.record import RunRecord
from serving.errors import ServingError
from serving.flags import options_of


def base_path(root: Path) -> Path:
    """Directory of the versions of the generator that runs in a root push to; there may be none yet.

    Raises:
      ConfigError: if nothing was ever run there.
    """
    record = RunRecord.load(root)
    if record is None:
        raise ConfigError(f"{root}: no run here, so there is no model to serve; `tailgan run` makes one")
    return Path(record.serving_dir).resolve()


def serve(args: argparse.Namespace, root: Path | None) -> int:
    """Serves until it is told to stop.

    Args:
      args: with the flags of `serving.flags`.
      root: of a run whose generator is served; None if flags name the models.

    Raises:
      ConfigError: if flags, files or ports are wrong.
    """
    if root is not None:
        path = base_path(root)
        args.model_name, args.model_base_path = path.name, str(path)
    from serving.server import serve

    try:
        return serve(options_of(args), lambda line: print(line, flush=True))
    except ServingError as error:
        raise ConfigError(error.message) from None
