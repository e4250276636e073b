"""Runs that are killed outright, in every node and at random moments of training, end as if nothing had happened."""

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from models.export import Generator

pytestmark = pytest.mark.e2e

ROOTS = 4
IN_TRAINING = 4  # kills of a root while its GAN trains
QUICK = (
    "data.image_size=8", "data.channels=1", "gan.steps=200", "gan.checkpoint_every=50", "classifier.steps=30",
    "gate.samples_per_class=20", "gate.rules=[label_agreement >= 0]",
)  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Digits 0, 1 and 2 as files, for files are decoded in processes of their own, which must not outlive a kill."""
    root = tmp_path_factory.mktemp("images")
    data = load_digits()
    for i, (pixels, label) in enumerate(zip(data.images, data.target, strict=True)):
        if label < 3:
            (root / str(label)).mkdir(exist_ok=True)
            Image.fromarray((pixels * 15).astype("uint8")).save(root / str(label) / f"{i}.png")
    return root


class Watcher(threading.Thread):
    """Looks at a serving directory all the time, and takes down each version as it is when it can first be seen."""

    def __init__(self, base: Path):
        super().__init__(daemon=True)
        self.base, self.stopped, self.first_seen = base, False, {}

    def run(self) -> None:
        while not self.stopped:
            for path in self.base.glob("[0-9]*"):
                if path not in self.first_seen:
                    self.first_seen[path] = contents(path)
            time.sleep(0.0002)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def nodes(root) -> dict[str, dict]:
    return json.loads((root.path / "run.json").read_text())["nodes"]


def figures(report):
    return {key: report[key] for key in ("rules", "fid", "kid", "inception_score", "null", "per_class", "judge")}


def decoders_of(images: Path) -> list[str]:
    """Ids of the processes that decode these images."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # It has ended since.
            continue
        if b"decoder_process" in command and str(images).encode() in command:
            found.append(path.parent.name)
    return found


def kill_in(root, args, node_id: str, after: float) -> str | None:
    """Starts a run and kills it so many seconds after a node began; the node it was in, or None if it had ended."""
    pid = root.zygote.start(args, root.path.parent)
    record = root.path / "run.json"
    while True:
        found = json.loads(record.read_text()) if record.exists() else {}
        if found.get("pid") == pid and (
            found["outcome"] != "running" or found["nodes"][node_id]["state"] in ("running", "complete", "cached")
        ):
            break
        time.sleep(0.001)
    time.sleep(after)
    if root.kill(pid) != -9:
        return None
    return next((name for name, node in nodes(root).items() if node["state"] == "running"), "between nodes")


def test_whatever_is_killed_ends_with_the_figures_of_an_undisturbed_run_and_serves_whole_versions_only(
    images, new_root
):
    def arguments(root):
        return root.run_args("image_folder.yaml", *QUICK, f"data.root={images}")

    undisturbed = new_root("undisturbed")
    result = undisturbed.tailgan(*arguments(undisturbed))
    assert result.returncode == 0, result.stdout + result.stderr
    seconds = {name: node["seconds"] for name, node in nodes(undisturbed).items()}
    expected = figures(undisturbed.report())

    rng, kills = random.Random(0), Counter()
    for number in range(ROOTS):
        root = new_root(f"root{number}")
        watcher = Watcher(root.path / "serving" / "generator")
        watcher.start()
        for node_id in seconds:
            times = IN_TRAINING if node_id == "GAN" else 1
            for part in sorted(rng.random() for _ in range(times)):
                # A little less than the node takes, for what is killed too late has ended. Training goes on from its
                # checkpoint, and the later kills find less of it left.
                kills[kill_in(root, arguments(root), node_id, 0.8 * part * seconds[node_id] / times)] += 1
                for path in root.versions:
                    assert Generator(str(path)).classes == ("0", "1", "2")
        result = root.tailgan(*arguments(root))
        assert result.returncode == 0, result.stdout + result.stderr
        watcher.stopped = True
        watcher.join()
        assert figures(root.report()) == expected
        # What was pushed before a kill is found to serve already, so there is one version, whole from the beginning.
        assert [path.name for path in watcher.first_seen] == [path.name for path in root.versions]
        assert len(root.versions) == 1 and watcher.first_seen[root.versions[0]] == contents(root.versions[0])
        assert sorted(os.listdir(root.path / "serving" / "generator")) == [root.versions[0].name]

    print(f"killed: {dict(kills)}")
    killed = sum(kills.values()) - kills[None]
    assert killed >= 50 and kills["GAN"] >= 10, kills
    assert set(seconds) <= set(kills), kills
    time.sleep(5)
    assert decoders_of(images) == []
