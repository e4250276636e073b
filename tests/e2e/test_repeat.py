"""Runs again and again, as a schedule makes them: nothing new, then a new span; what is old goes, what serves stays."""

import time
from pathlib import Path

import numpy as np
import pytest
from ml_metadata.metadata_store import metadata_store
from PIL import Image
from sklearn.datasets import load_digits

from components.evaluator.served import best_served, what_serves
from models import versions
from pipeline import metadata, stored_runs
from tests.e2e.emulator import Cluster, Emulator

pytestmark = pytest.mark.e2e

HOME = Path(__file__).parent.parent.parent
IMAGE = f"registry.example/tailgan@sha256:{'0' * 64}"
RARE = 9
SETTINGS = (
    "name=repeat", "data.source=image_folder", "data.image_size=8", "data.channels=1", "data.group_by=null",
    "gan.steps=100", "gan.width=8", "gan.warm_start={steps: 50}", "gan.export.filter=null", "gan.checkpoint_every=50",
    "classifier.steps=50", "gate.samples_per_class=20", "serving.validation.server=none", "retention.runs=1",
    "gate.rules=[label_agreement >= 0]", "gate.not_worse={}",  # so that it is pushed
)  # fmt: skip


class Cupboard:
    """A volume on which spans of scanned digits arrive, and the emulator of the pipeline that reads them."""

    def __init__(self, work: Path, zygote):
        self._bunch, self._taken = load_digits(), dict.fromkeys(range(10), 0)
        self._volume = work / "volume"
        self._volume.mkdir()
        self.root = self._volume / "repeat"
        uri = f"sqlite:///{work}/data/metadata.db"
        sets = (
            *SETTINGS, f"data.root={work}/data/incoming/{{SPAN}}", f"kubeflow.image={IMAGE}", "kubeflow.pvc=claim",
            f"kubeflow.mount={work / 'data'}", f"kubeflow.ir_folder={work}", f"kubeflow.metadata_uri={uri}",
            "kubeflow.metadata_secret=null", "kubeflow.defaults={retries: 0}",
        )  # fmt: skip
        args = ["compile", str(HOME / "configs" / "image_folder.yaml"), "-o", str(work / "pipeline.yaml")]
        args += [part for each in sets for part in ("--set", each)]
        assert zygote.wait(zygote.start(args, work, err=str(work / "err"))) == 0, (work / "err").read_text()

        def start(args, env, log):
            return zygote.start(args, work, str(log), f"{log}-err", env)

        cluster = Cluster(IMAGE, {"claim": self._volume}, {}, start, zygote.poll)
        self.emulator = Emulator((work / "pipeline.yaml").read_text(), cluster, work)

    def arrive(self, span: str, images: dict[int, int]) -> None:
        """So many more images of each class come, whole at once."""
        for label, count in images.items():
            (folder := self._volume / "incoming" / f"arriving-{span}" / str(label)).mkdir(parents=True)
            rows = np.flatnonzero(self._bunch.target == label)[self._taken[label] :][:count]
            self._taken[label] += count
            for row in rows:
                Image.fromarray(np.rint(self._bunch.images[row] * 15.9).astype(np.uint8)).save(folder / f"{row}.png")
        (self._volume / "incoming" / f"arriving-{span}").rename(self._volume / "incoming" / span)

    def run(self, run_id: str) -> set[str]:
        """Runs all tasks; names of those that did something."""
        run = self.emulator.run(run_id)
        logs = {name: self.emulator.log(run, name) for name in run.states}
        assert set(run.states.values()) == {"succeeded"}, {name: text[-2000:] for name, text in logs.items()}
        return {name for name, text in logs.items() if ": complete" in text}

    @property
    def connection(self):
        return metadata.connect({metadata.URI: f"sqlite:///{self._volume}/metadata.db"})

    @property
    def training(self) -> dict:
        """What the generator that serves says of its training."""
        return versions.about(Path(what_serves(self.base).path))["training"]

    @property
    def base(self) -> str:
        return str(self.root / "serving" / "generator")

    def count(self, pattern: str) -> int:
        return len(list(self.root.glob(pattern)))


@pytest.fixture(scope="module")
def cupboard(tmp_path_factory, zygote) -> Cupboard:
    made = Cupboard(tmp_path_factory.mktemp("repeat"), zygote)
    made.arrive("001", {**dict.fromkeys(range(10), 40), RARE: 16})
    return made


def test_the_first_run_trains_anew_and_pushes(cupboard):
    assert {"examplegen", "judge", "gan", "evaluator", "pusher"} <= cupboard.run("run-1")
    assert cupboard.training["anew"] == "no version serves" and cupboard.training["steps"] == 100


def test_where_nothing_is_new_nothing_is_trained_and_it_says_that_it_serves(cupboard):
    before, started = cupboard.training, time.monotonic()
    assert cupboard.run("run-2") == {"evaluator", "pusher"}
    assert time.monotonic() - started < 300 and cupboard.training == before
    assert metadata.evaluations(cupboard.connection, ["run-2"])["run-2"]["verdict"] == "already_serving"


def test_a_new_span_is_ingested_and_trained_on_from_what_serves_and_what_is_old_goes(cupboard):
    first, served = cupboard.training["directory"], what_serves(cupboard.base)
    cupboard.arrive("002", {RARE: 30})
    assert {"examplegen", "judge", "gan", "evaluator", "pusher"} <= cupboard.run("run-3")
    training, serves = cupboard.training, what_serves(cupboard.base)
    assert (training["steps"], training["start"], training["anew"]) == (50, first, None)
    assert serves.version > served.version and training["directory"] != first
    found = metadata.evaluations(cupboard.connection, ["run-3"])["run-3"]
    assert (found["verdict"], found["version"]) == ("blessed", serves.version)
    store = metadata_store.MetadataStore(cupboard.connection)
    spans = [each.properties["span"].int_value for each in store.get_artifacts_by_type("Examples")]
    assert sorted(spans) == [1, 1, 2, 2]  # of ExampleGen and of the Rebalancer
    # What runs 1 and 2 made is gone, but for the best version, with which the gate compares.
    assert cupboard.count("artifacts/GAN/model/*") == cupboard.count("artifacts/ExampleGen/examples/*") == 1
    assert [path.name for path in (cupboard.root / "checkpoints").iterdir()] == [training["directory"]]
    there = {path.name for path in (cupboard.root / "serving" / "generator").glob("[0-9]*")}
    assert there == {str(each.version) for each in (serves, best_served(cupboard.base)) if each}


def test_every_run_has_a_row_and_what_was_kept_is_re_used(cupboard):
    runs = stored_runs.newest(cupboard.connection, 5, "repeat")
    assert [(run.run_id, run.state) for run in runs] == [(f"run-{i}", "SUCCEEDED") for i in (3, 2, 1)]
    assert cupboard.run("run-4") == {"evaluator", "pusher"}
    assert metadata.evaluations(cupboard.connection, ["run-4"])["run-4"]["verdict"] == "already_serving"
