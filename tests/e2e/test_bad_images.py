"""Files as people have them, through the real command: what can be used is, what cannot is set aside and named."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
QUICK = (
    "gan.steps=2",
    "gan.helper_steps=2",
    "gan.batch_size=4",
    "classifier.steps=2",
    "gate.samples_per_class=4",
    "gate.rules=[label_agreement >= 0]",
)


def picture(seed, size=(9, 8)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def save(path: Path, seed: int, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, **options)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is `side` x `side` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def images(tmp_path) -> Path:
    """Two classes of 20 images."""
    for i in range(20):
        save(tmp_path / "images" / "fray" / f"{i}.png", i)
        save(tmp_path / "images" / "free" / f"{i}.png", 100 + i)
    return tmp_path / "images"


def arguments(root, images, *overrides):
    sets = (f"data.root={images}", "data.image_size=8", "data.channels=3", "data.min_eval_per_class=2")
    return root.run_args("image_folder.yaml", *QUICK, *sets, *overrides)


def run(root, images, *overrides):
    return root.tailgan(*arguments(root, images, *overrides))


def quarantine(root) -> dict[str, str]:
    nodes = json.loads((root.path / "run.json").read_text())["nodes"]
    path = Path(nodes["ExampleGen"]["outputs"]["examples"][0], "quarantine.jsonl")
    return {line["path"]: line["reason"] for line in map(json.loads, path.read_text().splitlines())}


def test_bad_files_are_set_aside_with_their_reasons_and_odd_ones_are_used(images, new_root):
    bad = images / "fray"
    (bad / "zero.png").touch()
    (bad / "truncated.jpg").write_bytes(b"")
    picture(1).resize((90, 80)).save(bad / "truncated.jpg")
    (bad / "truncated.jpg").write_bytes((bad / "truncated.jpg").read_bytes()[:900])
    (bad / "text.png").write_text("an image was here")
    (bad / "bomb.png").write_bytes(bomb(50_000))
    (bad / "loop.png").symlink_to("loop.png")
    (bad / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(bad / "pipe.png")
    odd = images / "<img src=x onerror=alert(1)> [red]ü"
    frames = [picture(200 + i) for i in range(3)]
    odd.mkdir()
    frames[0].save(odd / "animated.gif", save_all=True, append_images=frames[1:])
    frames[1].save(odd / "animated.webp", save_all=True, append_images=frames, lossless=True)
    Image.new("RGB", (1, 1), (1, 2, 3)).save(odd / "1x1.png")
    for i, name in enumerate(
        ("with spaces.png", "名前.png", "%2e%2e.png", "-rf.png", "a;b&c|d.png", "..x.png", "~.png")
    ):
        save(odd / name, 300 + i)
    save(odd / os.fsdecode(b"not-utf8-\xff.png"), 400)

    root = new_root("any")
    result = run(root, images, "data.max_bad_fraction=0.3", "data.max_pixels=1000000")
    assert result.returncode in (0, 3), result.stdout + result.stderr
    assert "7 images could not be read (quarantine.jsonl)" in result.stdout
    reasons = quarantine(root)
    expected = {
        "zero.png": "an empty file",
        "truncated.jpg": "truncated",
        "text.png": "no image of a known kind",
        "bomb.png": "50000 x 50000 pixels are more than max_pixels = 1000000",
        "loop.png": "Too many levels of symbolic links",
        "gone.png": "No such file or directory",
        "pipe.png": "not a regular file",
    }
    assert reasons.keys() == {f"fray/{name}" for name in expected}
    for name, reason in expected.items():
        assert reason in reasons[f"fray/{name}"]
    # A class's name is shown as it is: on the terminal, and on the page without being run.
    assert "[red]ü" in root.tailgan("report", "--root", str(root.path)).stdout
    page = (root.path / "report.html").read_text()
    assert "&lt;img src=x" in page and "<img src=x" not in page
    assert root.report()["per_class"][odd.name]["train_real"] >= 4


def test_too_many_bad_files_fail_the_run_which_names_some_and_leaves_no_artifact(images, new_root):
    for i in range(5):
        (images / "free" / f"bad{i}.png").write_text("x")
    root = new_root("any")
    result = run(root, images)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "5 of 45 images cannot be read, 0.111 of them where `data.max_bad_fraction` allows 0.01" in result.stderr
    assert "free/bad0.png: no image of a known kind" in result.stderr and "and 2 more" in result.stderr
    assert not [path for path in (root.path / "artifacts").rglob("*") if path.is_file()]


def test_a_class_with_too_few_images_is_named_with_its_count(images, new_root):
    for i in range(6):
        save(images / "rare" / f"{i}.png", 500 + i)
    result = run(new_root("any"), images, "data.min_train_per_class=6", "data.eval_fraction=0.05")
    assert result.returncode == 1
    assert "class `rare` has 4 training images, fewer than `data.min_train_per_class` = 6" in result.stderr
    assert "`fray`" not in result.stderr


def test_a_folder_inside_a_class_folder_is_refused(images, new_root):
    (images / "free" / "more").mkdir()
    result = run(new_root("any"), images)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert (
        f"{images}/free/more is a folder inside a class folder; images lie directly in {images}/free" in result.stderr
    )


def test_files_without_permission_are_set_aside_and_folders_without_are_refused(images, new_root):
    prefix = []
    if os.geteuid() == 0:  # whom permissions do not hold back, unless root gives that up
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if shutil.which(prefix[0]) is None:
            pytest.skip("root may read everything")

    def limited(*overrides):
        command = [*prefix, sys.executable, "-m", "pipeline.cli", *arguments(root, images, *overrides)]
        return subprocess.run(command, capture_output=True, text=True, cwd=HOME)

    root = new_root("any")
    (images / "free" / "0.png").chmod(0)
    result = limited("data.max_bad_fraction=0.5")
    assert result.returncode in (0, 3), result.stdout + result.stderr
    assert quarantine(root) == {"free/0.png": "Permission denied"}
    (images / "locked").mkdir(mode=0)
    result = limited()
    assert result.returncode == 2 and f"{images}/locked cannot be listed: Permission denied" in result.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.dataset=fashion_mnits", r"unknown TFDS data set `fashion_mnits`; did you mean `fashion_mnist`"),
        ("data.dataset=fashion_mnist", "is not prepared in"),
        ("data.dataset=fashion_mnist", "`tfds build fashion_mnist --data_dir="),
        ("data.dataset=fashion_mnist:99.0.0", "cannot be opened"),
        ("data.dataset=..", "cannot be opened"),
    ],
)
def test_a_tfds_name_that_is_not_there_is_refused_with_what_to_do(tmp_path, new_root, override, message):
    root = new_root("any")
    sets = ("data.source=tfds", f"data.data_dir={tmp_path}", "data.long_tail=null", override)
    result = root.run("digits.yaml", *sets)
    assert result.returncode == 2, result.stdout + result.stderr
    assert f"--set {override}: " in result.stderr and message in result.stderr and "Traceback" not in result.stderr
    assert not (root.path / "artifacts").exists()
