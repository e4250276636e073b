"""Killed in every node and at any moment, a run goes on to the figures of an undisturbed one, and what serves is whole.

In each root, all nodes in order are killed, most of them several times before they are let to their end.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from models.files import LOCK_FILE
from models.generator import Generator

pytestmark = pytest.mark.e2e

SETTINGS = (
    "data.image_size=8",
    "data.channels=1",
    "classifier.steps=30",
    "gan.steps=400",
    "gan.helper_steps=30",
    "gan.checkpoint_every=50",
    "gate.samples_per_class=20",
    "gate.rules=[label_agreement >= 0]",  # so that it is pushed
)

# In each of two roots, fifty in all. A node that is over sooner than expected passes its kills on to the Pusher.
KILLS = {
    "ExampleGen": 3,
    "StatisticsGen": 1,
    "SchemaGen": 1,
    "ExampleValidator": 2,
    "DataGuard": 2,
    "Judge": 2,
    "Rebalancer": 2,
    "GAN": 5,
    "Evaluator": 2,
    "ServingValidator": 2,
    "Pusher": 3,
}
FOUND = ("evaluation.json", "modelcard.md")  # pushed with a version
REACH = 0.8  # part of the time that a node took undisturbed, up to which kills are drawn
SURVIVES_AT_MOST = 5.0  # seconds that a child may outlive the run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scanned digits as files: decoding files is what ExampleGen has child processes for."""
    path = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images[:600], digits.target, strict=False)):
        (path / str(label)).mkdir(exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(path / str(label) / f"{index}.png")
    return path


def run_args(root, folder):
    return root.run_args("image_folder.yaml", f"data.root={folder}", *SETTINGS)


def figures(report):
    return {key: report[key] for key in ("rules", "fid", "kid", "inception_score", "null", "per_class", "judge")}


def read_record(root):
    """The run's record, {} before there is one; it is replaced as a whole, so any moment will do to read it."""
    path = root.path / "run.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def process(pid):
    """(state, pid of the parent) of a process; of one that has ended and is gone, state X."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", 0
    return state, int(parent)


def is_alive(pid):
    return process(pid)[0] not in "ZX"


def descendants(pid):
    parents = {int(name): process(name)[1] for name in os.listdir("/proc") if name.isdecimal()}
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def contents(model):
    """{path: hash} of the files of a model."""
    return {
        str(path.relative_to(model)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in model.rglob("*")
        if path.is_file()
    }


def broken_versions(root, versions):
    """Those of the versions that are not, file by file, a model of the GAN's Trainer with what the Evaluator found."""
    exported = [contents(path) for path in root.path.glob("artifacts/GAN/model/*/Format-Serving")]
    judged = [contents(path) for path in root.path.glob("artifacts/Evaluator/blessing/*")]
    found = [{f"assets.extra/{name}": own.get(name) for name in FOUND} for own in judged]
    whole = [{**model, **extra} for model in exported for extra in found]
    return [f"{path}: {sorted(contents(path))}" for path in versions if contents(path) not in whole]


class Watch(threading.Thread):
    """Looks at each version the moment it appears in the serving directory."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root = root
        self.seen = set(root.versions)
        self.broken = []
        self._end = threading.Event()

    def run(self):
        while not self._end.wait(0.0005):
            new = [path for path in self.root.versions if path not in self.seen]
            self.seen.update(new)
            self.broken += broken_versions(self.root, new) if new else []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()
        self.broken += broken_versions(self.root, self.root.versions)


def wait_for(root, pid, last_run, node_id, seconds, with_children):
    """Until a node of a new run has been under way for so long, or is over."""
    under_way = None
    while is_alive(pid):
        record = read_record(root)
        state = record["nodes"][node_id]["state"] if record.get("run_id") != last_run else "pending"
        if state not in ("pending", "running"):
            return
        if state == "running":
            under_way = under_way or time.monotonic()
            if time.monotonic() - under_way >= seconds and (not with_children or descendants(pid)):
                return
        time.sleep(0.001)


def kill_in(root, folder, node_id, seconds, with_children):
    """Starts the run and kills it.

    Args:
      root: the root.
      folder: of the images.
      node_id: node to be killed in.
      seconds: to wait from when it is under way.
      with_children: wait as well until it has child processes.

    Returns:
      The node that was killed: a later one if the one asked for was over too soon, None if the run was.
    """
    last_run = read_record(root).get("run_id")
    pid = root.zygote.start(run_args(root, folder), root.path.parent)
    wait_for(root, pid, last_run, node_id, seconds, with_children)
    os.kill(pid, signal.SIGSTOP)  # so that it starts no children between the look at them and its death
    children = descendants(pid)
    assert children or not with_children
    code = root.kill(pid)
    assert code in (-signal.SIGKILL, 0)
    deadline = time.monotonic() + SURVIVES_AT_MOST
    while alive := [child for child in children if is_alive(child)]:
        assert time.monotonic() < deadline, f"killed in {node_id}, processes {alive} go on without it"
        time.sleep(0.05)
    running = [name for name, state in root.states.items() if state == "running"]
    return running[0] if code and running else None


@pytest.fixture(scope="module")
def undisturbed(folder, root):
    """A run that nobody kills."""
    result = root.tailgan(*run_args(root, folder))
    assert result.returncode == 0, result.stdout + result.stderr
    return root


def kill_often(root, folder, seconds, draw):
    """Kills as `KILLS` says; the number of kills by node.

    The first of each node at once, lest it be over; the others at moments drawn from what it took undisturbed.
    """
    killed, resumable = Counter(), 0
    for node_id, count in KILLS.items():
        while killed[node_id] < count or (node_id == "Pusher" and killed.total() < sum(KILLS.values())):
            # Without a version that serves, it is pushed again.
            shutil.rmtree(root.path / "serving", ignore_errors=True)
            first = not killed[node_id]
            moment = 0 if first else draw.uniform(0, REACH) * seconds[node_id]
            with Watch(root) as watch:
                hit = kill_in(root, folder, node_id, moment, with_children=first and node_id == "ExampleGen")
            assert watch.broken == [], f"after a kill in {hit}"
            if hit:
                killed[hit] += 1
            resumable += hit == "GAN" and any(root.path.glob("checkpoints/*/ckpt-*.index"))
            if hit != node_id and node_id != "Pusher":
                break  # it was over before, and will be cached
    assert resumable, "no kill came between a checkpoint and the end of training"
    return killed


def test_fifty_kills_change_no_figure_and_never_leave_half_a_version(undisturbed, folder, new_root):
    seconds = {name: node["seconds"] for name, node in read_record(undisturbed)["nodes"].items()}
    killed = Counter()
    for seed in range(2):
        root = new_root(f"killed-{seed}")
        killed += kill_often(root, folder, seconds, random.Random(seed))

        with Watch(root) as watch:
            result = root.tailgan(*run_args(root, folder))
        assert result.returncode == 0, result.stdout + result.stderr
        assert watch.broken == []
        assert figures(root.report()) == figures(undisturbed.report())
        # What was pushed before the last kill is found to serve, and not pushed twice; nothing else lies there.
        (version,) = root.versions
        assert {path.name for path in version.parent.iterdir()} == {version.name, "history.jsonl", LOCK_FILE}
        assert [row["version"] for row in root.report()["versions"]] == [int(version.name)]
        assert Generator(str(version)).generate(np.arange(10), np.arange(10)).shape == (10, 8, 8, 1)
    assert killed.total() >= 50 and killed.keys() == seconds.keys(), killed
