"""The user's own folders: dirty files are set aside, objects stay together, bad data stop the run in plain words."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

FAST = ("gan.steps=20", "classifier.steps=20", "gate.samples_per_class=10", "data.image_size=16", "gan.width=8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of unequal size, several pictures of each object, and one broken file."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name, count in (("good", 60), ("scratch ü", 16)):
        (root / name).mkdir()
        for i in range(count):
            pixels = random.integers(0, 255, (20, 24), np.uint8)
            Image.fromarray(pixels).save(root / name / f"tile{i // 4}_{i % 4}.png")
    (root / "good" / "broken.png").write_bytes(b"no image at all")
    return root


def overrides(folder):
    return (f"data.root={folder}", r"data.group_by=(tile\d+)_", "data.max_bad_fraction=0.05", *FAST)


def test_a_folder_goes_all_the_way_and_a_broken_file_is_quarantined(root, folder):
    result = root.run("image_folder.yaml", *overrides(folder))
    assert result.returncode == 3, result.stdout + result.stderr  # noise has nothing to learn, and the gate says so
    assert (root.path / "report.html").is_file()
    examples = (
        root.path / json.loads((root.path / "run.json").read_text())["nodes"]["ExampleGen"]["outputs"]["examples"][0]
    )
    (line,) = (examples / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["path"].endswith("good/broken.png") and json.loads(line)["reason"]
    rows = root.report()["per_class"]
    assert set(rows) == {"good", "scratch ü"}
    assert rows["good"]["train_real"] + rows["good"]["eval_real"] == 60
    assert rows["good"]["eval_real"] % 4 == 0  # whole objects


def test_one_changed_image_makes_everything_anew_and_none_nothing(root, folder):
    assert root.run("image_folder.yaml", *overrides(folder)).returncode == 3
    assert root.states["ExampleGen"] == root.states["GAN"] == "cached"
    pixels = np.random.default_rng(1).integers(0, 255, (20, 24), np.uint8)
    Image.fromarray(pixels).save(folder / "good" / "tile0_0.png")
    assert root.run("image_folder.yaml", *overrides(folder)).returncode == 3
    assert root.states["ExampleGen"] == root.states["GAN"] == "complete"


def test_too_many_broken_files_stop_the_run_with_their_number(root, folder):
    result = root.run("image_folder.yaml", *overrides(folder), "data.max_bad_fraction=0.001")
    assert result.returncode == 1
    assert "ExampleGen: " in result.stderr and "broken.png" in result.stderr and "Traceback" not in result.stderr
    assert root.states["ExampleGen"] == "failed" and root.states["GAN"] == "pending"


def test_data_that_break_the_schema_of_the_configuration_stop_the_run(root, folder, tmp_path):
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(
        'feature { name: "label" type: INT int_domain { min: 0 max: 0 } presence { min_fraction: 1 } }\n'
        'feature { name: "image" type: BYTES presence { min_fraction: 1 } }\n'
        'feature { name: "id" type: BYTES presence { min_fraction: 1 } }\n'
    )
    result = root.run("image_folder.yaml", *overrides(folder), f"data.schema_file={schema}")
    assert result.returncode == 1
    assert "DataGuard: " in result.stderr and "label" in result.stderr and "Traceback" not in result.stderr
    assert root.states["GAN"] == "pending"


def test_an_empty_folder_is_refused_before_anything_is_made(root, tmp_path):
    result = root.run("image_folder.yaml", f"data.root={tmp_path}", *FAST)
    assert result.returncode == 2 and str(tmp_path) in result.stderr and "Traceback" not in result.stderr


def test_magnetic_tiles_end_with_a_report(root, data, tmp_path):
    tiles = data / "magnetic_tile"
    if not tiles.is_dir():
        pytest.skip(f"no {tiles}")
    shutil.rmtree(root.path)
    result = root.run("image_folder.yaml", f"data.root={tiles}", "gan.steps=20", "classifier.steps=20")
    assert result.returncode in (0, 3), result.stdout + result.stderr
    rows = root.report()["per_class"]
    assert {name: row["train_real"] + row["eval_real"] for name, row in rows.items()} == {
        "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "free": 952, "uneven": 103,
    }  # fmt: skip
