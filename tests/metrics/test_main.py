"""`python -m metrics`, as a person calls it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics.__main__ import main
from metrics.c2st import c2st
from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.prdc import prdc

HOME = Path(__file__).resolve().parents[2]
REAL, FAKE = np.random.default_rng(0).normal(size=(2, 60, 5)) + np.array([0, 0.3])[:, None, None]


@pytest.fixture
def saved(tmp_path):
    np.savez(tmp_path / "real.npz", features=REAL)
    np.savez(tmp_path / "fake.npz", features=FAKE)
    return str(tmp_path / "real.npz"), str(tmp_path / "fake.npz")


def folder(path, shape=(8, 8)):
    path.mkdir()
    for index in range(12):
        image = np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(image).save(path / f"{index}.png")
    return str(path)


def test_one_object_with_the_figures_of_the_modules(saved):
    done = subprocess.run(
        [sys.executable, "-m", "metrics", *saved, "--json"], cwd=HOME, capture_output=True, text=True, check=True
    )
    neighbours = prdc(REAL, FAKE)
    assert json.loads(done.stdout) == {
        "fid": frechet_distance(REAL, FAKE),
        "kid": kernel_distance(REAL, FAKE),
        "precision": neighbours.precision,
        "recall": neighbours.recall,
        "density": neighbours.density,
        "coverage": neighbours.coverage,
        "c2st": c2st(REAL, FAKE).value,
    }
    assert done.stderr == ""


def test_a_table_for_people(saved, capsys):
    assert main([*saved]) == 0
    out = capsys.readouterr().out
    assert "60 real, 60 generated, 5 features" in out and f"{frechet_distance(REAL, FAKE):.6g}" in out


def test_folders(tmp_path, capsys):
    assert main([folder(tmp_path / "a"), folder(tmp_path / "b"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["fid"] < 1e-9 and result["coverage"] == result["precision"] == 1


def broken(tmp_path, kind):
    """A FAKE that is wrong, and what is said of it."""
    path = tmp_path / "bad.npz"
    if kind == "missing":
        return path, "does not exist"
    if kind == "folder":
        return tmp_path, "both"
    if kind == "not a zip":
        path.write_text("hello")
        return path, "bad.npz is neither an .npz file with an array `features` [n, d] nor a folder"
    if kind == "cut off":
        np.savez(path, features=FAKE)
        path.write_bytes(path.read_bytes()[:-30])
        return path, "bad.npz"
    if kind == "pickled":
        np.savez(path, features=np.array([None, {}]))
        return path, "bad.npz: Object arrays"
    if kind == "npy":
        with path.open("wb") as file:
            np.save(file, FAKE)
        return path, "bad.npz is neither an .npz file"
    arrays = {
        "other name": ({"x": FAKE, "y": FAKE}, "no array `features`; it has: x, y"),
        "NaN": ({"features": np.where(np.arange(300).reshape(60, 5) < 3, np.nan, FAKE)}, "3 NaN and 0 infinite"),
        "columns": ({"features": FAKE[:, :3]}, "`real` has 5 columns and `fake` 3"),
        "few": ({"features": FAKE[:4]}, "4 rows; at least 6"),
    }
    np.savez(path, **arrays[kind][0])
    return path, arrays[kind][1]


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "not a zip", "cut off", "pickled", "npy", "other name", "NaN", "columns", "few"]
)
def test_bad_input_is_named_with_exit_code_2(kind, saved, tmp_path, capsys):
    path, message = broken(tmp_path, kind)
    assert main([saved[0], str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.startswith("error: ") and err.count("\n") == 1 and out == ""


def test_grey_against_colour(tmp_path, capsys):
    assert main([folder(tmp_path / "a"), folder(tmp_path / "b", (8, 8, 3))]) == 2
    assert "grey" in capsys.readouterr().err


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [0, 1e-40, 1e40])
def test_constant_tiny_and_huge_features_print_numbers(scale, tmp_path, capsys):
    for name, array in (("real", REAL), ("fake", FAKE)):
        np.savez(tmp_path / f"{name}.npz", features=array * scale)
    assert main([str(tmp_path / "real.npz"), str(tmp_path / "fake.npz"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert list(result) == ["fid", "kid", "precision", "recall", "density", "coverage", "c2st"]


def test_other_features_want_tensorflow(tmp_path, capsys):
    assert main([folder(tmp_path / "a"), folder(tmp_path / "b"), "--features", "inception"]) == 2
    assert "features `inception` of images need TensorFlow; known here: pixels" in capsys.readouterr().err


def test_neither_tensorflow_nor_sklearn_is_loaded_before_it_is_wanted():
    program = (
        "import sys, pkgutil, importlib, metrics\n"
        "for m in pkgutil.iter_modules(metrics.__path__): importlib.import_module('metrics.' + m.name)\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
