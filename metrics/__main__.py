"""`python -m metrics REAL FAKE [--json]`: the figures of two .npz files of features, or of two folders of images."""

import argparse
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

from metrics import checks, pixels
from metrics.c2st import c2st
from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.prdc import prdc

ARRAY = "features"
MEANINGS = {
    "fid": "Frechet distance; 0 is best, grows as n falls",
    "kid": "kernel distance, unbiased; about 0 is best",
    "precision": "fakes that look like some real image; 0 to 1",
    "recall": "real images that look like some fake; 0 to 1",
    "density": "how densely reals surround fakes; about 1 is best",
    "coverage": "real images with a fake nearby; 0 to 1, at best about 0.97",
    "c2st": "accuracy of a classifier, real from fake; 0.5 is best, 1 worst",
}


def figures(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The figures by name, of features [n, d] and [m, d]; n, m >= 6. Raises ValueError as `checks.pair`."""
    neighbours = prdc(real, fake)
    return {
        "fid": frechet_distance(real, fake),
        "kid": kernel_distance(real, fake),
        "precision": neighbours.precision,
        "recall": neighbours.recall,
        "density": neighbours.density,
        "coverage": neighbours.coverage,
        "c2st": c2st(real, fake).value,
    }


def load_features(path: Path) -> np.ndarray:
    """The array `features` of an .npz file. Raises ValueError if there is none, or not of numbers [n, d]."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither an .npz file with an array `{ARRAY}` [n, d] nor a folder of images")
    try:
        with np.load(path, allow_pickle=False) as file:
            if ARRAY not in file:
                raise ValueError(f"it has no array `{ARRAY}`; it has: {', '.join(file) or 'none'}")
            return checks.features(file[ARRAY], ARRAY)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error


def load(real: Path, fake: Path, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of both sides. Raises ValueError for what is missing, unreadable, or of two kinds."""
    for path in (real, fake):
        if not path.exists():
            raise ValueError(f"{path} does not exist")
    if real.is_dir() != fake.is_dir():
        raise ValueError("REAL and FAKE must both be .npz files or both be folders of images")
    if not real.is_dir():
        return load_features(real), load_features(fake)
    if kind != "pixels":
        raise ValueError(
            f"features `{kind}` of images need TensorFlow; known here: pixels. Compute them there, and give .npz files"
        )
    return pixels.pixel_features(pixels.read_folder(real), pixels.read_folder(fake))


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, or 2 for bad input; the figures go to stdout, errors to stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m metrics", description="How far generated images are from real ones, by their features."
    )
    parser.add_argument("real", metavar="REAL", type=Path, help=".npz with `features` [n, d], or a folder of images")
    parser.add_argument("fake", metavar="FAKE", type=Path, help="the same, of generated images")
    parser.add_argument("--features", default="pixels", help="of images: pixels (principal components; the default)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    try:
        real, fake = load(options.real, options.fake, options.features)
        result = figures(real, fake)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result, allow_nan=False))
    else:
        print(f"{len(real)} real, {len(fake)} generated, {real.shape[1]} features")
        for name, value in result.items():
            print(f"{name:<10} {value:>12.6g}   {MEANINGS[name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
