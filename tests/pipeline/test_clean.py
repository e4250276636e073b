"""What clean takes for old, on stores filled as TFX fills them, and what it leaves however it ends."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from models import files
from pipeline import clean, clean_summary, in_use
from pipeline.config import ConfigError
from pipeline.lock import locked

HOME = Path(__file__).parent.parent.parent
COMPLETE, CACHED, RUNNING = proto.Execution.COMPLETE, proto.Execution.CACHED, proto.Execution.RUNNING


class Lab:
    """A root with files and a store, in which runs follow one another."""

    def __init__(self, root: Path):
        self.root, self.is_shared = root, False
        root.mkdir()
        config = proto.ConnectionConfig()
        config.sqlite.filename_uri = str(root / "metadata.db")
        config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        self.run_type = self.store.put_context_type(proto.ContextType(name="pipeline_run"))
        self.node_type = self.store.put_execution_type(proto.ExecutionType(name="node"))
        self.artifact_types = {
            name: self.store.put_artifact_type(proto.ArtifactType(name=name)) for name in ("Model", "PushedModel")
        }
        pipeline_type = self.store.put_context_type(proto.ContextType(name="pipeline"))
        self.pipelines = {
            name: self.store.put_contexts([proto.Context(type_id=pipeline_type, name=name)])[0]
            for name in (root.name, "other")
        }
        self.context = 0

    def run(self, name: str, pipeline: str = "") -> None:
        """Begins a run, of the root's pipeline if no other is named; what follows is of it."""
        context = proto.Context(type_id=self.run_type, name=name)
        (self.context,) = self.store.put_contexts([context])
        parent = self.pipelines[pipeline or self.root.name]
        self.store.put_parent_contexts([proto.ParentContext(parent_id=parent, child_id=self.context)])
        self.file(f"logs/{name}.log")

    def node(self, node: str, inputs=(), cached=(), state=COMPLETE, **custom: str) -> int:
        """One execution in the run; id of the artifact that it put out, or of the cached one."""
        execution = proto.Execution(type_id=self.node_type, last_known_state=CACHED if cached else state)
        (execution_id,) = self.store.put_executions([execution])
        self.store.put_attributions_and_associations(
            [], [proto.Association(execution_id=execution_id, context_id=self.context)]
        )
        path = self.file(f"artifacts/{node}/out/{execution_id}/data").parent if not cached else None
        outputs = list(cached)
        if path and state == COMPLETE:
            artifact = proto.Artifact(
                type_id=self.artifact_types["PushedModel" if custom else "Model"],
                uri=str(path),
                state=proto.Artifact.LIVE,
            )
            for key, value in custom.items():
                artifact.custom_properties[key].string_value = value
            outputs = self.store.put_artifacts([artifact])
            attribution = proto.Attribution(artifact_id=outputs[0], context_id=self.context)
            self.store.put_attributions_and_associations([attribution], [])
        events = [(proto.Event.INPUT, each) for each in inputs] + [(proto.Event.OUTPUT, each) for each in outputs]
        self.store.put_events(
            [proto.Event(execution_id=execution_id, artifact_id=each, type=kind) for kind, each in events]
        )
        return outputs[0] if outputs else execution_id

    def finish(self) -> None:
        """Ends a run that pushed nothing."""
        self.node("Pusher", pushed_destination="")

    def export(self, folder: Path, training: str) -> None:
        """Has a generator say what training it came from."""
        about = folder / "assets.extra" / "tailgan.json"
        about.parent.mkdir(parents=True, exist_ok=True)
        about.write_text(json.dumps({"training": {"directory": training}}))

    def evaluated(self, version: int, kid: float) -> None:
        """Puts beside a pushed version what it was judged to be."""
        beside = self.root / "serving" / "generator" / str(version) / "assets.extra" / "evaluation.json"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"per_class": {"a": {}}, "groups": {"mean": {"kid_relative": kid}}}))

    def checkpoints(self, name: str, at: float = 1) -> None:
        """A training's, last written at a time."""
        path = self.file(f"checkpoints/{name}/ckpt-50.index")
        os.utime(path, (at, at))
        os.utime(path.parent, (at, at))

    def pushed(self, version: int, model: int) -> int:
        """A version that serves and the execution that pushed it."""
        self.file(f"serving/generator/{version}/saved_model.pb")
        destination = str(self.root / "serving" / "generator" / str(version))
        return self.node("Pusher", [model], pushed_destination=destination)

    def file(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 5000)
        return path

    def uri(self, artifact: int) -> Path:
        return Path(self.store.get_artifacts_by_id([artifact])[0].uri)

    def state(self, artifact: int) -> str:
        return proto.Artifact.State.Name(self.store.get_artifacts_by_id([artifact])[0].state)

    def plan(self, keep: int) -> clean.Plan:
        return clean.plan(clean.Site(self.root, self.store, self.is_shared), keep)

    def goes(self, keep: int) -> set[str]:
        return {str(item.path.relative_to(self.root)) for item in self.plan(keep).goes}

    def clean(self, keep: int) -> None:
        clean.remove(self.plan(keep))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "root")


def name(lab, artifact):
    return str(lab.uri(artifact).relative_to(lab.root))


def command(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "clean", *args],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env={"PYTHONPATH": str(HOME), "PATH": ""}, **options,
    )  # fmt: skip


def test_the_newest_runs_stay_with_what_they_took_from_older_ones(lab):
    lab.run("1")
    examples = lab.node("ExampleGen")
    first = lab.node("GAN", [examples])
    lab.run("2")
    lab.node("ExampleGen", cached=[examples])
    second = lab.node("GAN", [examples])
    lab.run("3")
    lab.node("ExampleGen", cached=[examples])
    third = lab.node("GAN", [examples])
    assert lab.goes(3) == set()
    assert lab.goes(2) == {name(lab, first), "logs/1.log"}
    assert lab.goes(1) == {name(lab, first), name(lab, second), "logs/1.log", "logs/2.log"}
    lab.clean(1)
    assert lab.uri(examples).is_dir() and lab.uri(third).is_dir()
    assert not lab.uri(first).exists() and not lab.uri(second).exists()
    assert [lab.state(each) for each in (examples, first, second, third)] == ["LIVE", "DELETED", "DELETED", "LIVE"]
    assert lab.goes(1) == set()


def test_what_was_seen_of_real_images_goes_when_no_kept_run_has_used_it(lab):
    lab.run("1")
    lab.node("GAN")
    for key in ("unused", "used again"):
        os.utime(lab.file(f"cache/features/{key}.npz"), (1, 1))
    lab.file("cache/features/.half.npz.77")
    lab.run("2")
    lab.node("GAN")
    os.utime(lab.root / "cache" / "features" / "used again.npz")
    lab.file("cache/features/new.npz")
    gone = {path for path in lab.goes(1) if path.startswith("cache")}
    assert gone == {"cache/features/unused.npz", "cache/features/.half.npz.77"}
    assert "cache" in clean_summary.summary(lab.plan(1))


def test_artifacts_that_stay_are_not_written_to_because_tfx_hashes_them_whole(lab):
    lab.run("1")
    examples = lab.node("ExampleGen")
    lab.node("GAN", [examples])
    lab.run("2")
    lab.node("ExampleGen", cached=[examples])
    before = lab.store.get_artifacts_by_id([examples])[0].SerializeToString(deterministic=True)
    lab.clean(1)
    assert lab.store.get_artifacts_by_id([examples])[0].SerializeToString(deterministic=True) == before


def test_what_serves_stays_with_all_that_it_is_made_from(lab):
    lab.run("1")
    old = lab.pushed(100, lab.node("GAN", [lab.node("ExampleGen")]))
    lab.run("2")
    examples = lab.node("ExampleGen")
    model = lab.node("GAN", [examples])
    push = lab.pushed(200, model)
    lab.run("3")
    lab.node("ExampleGen")
    goes = lab.goes(1)
    assert "serving/generator/100" in goes and "serving/generator/200" not in goes
    assert name(lab, old) in goes and not {name(lab, each) for each in (examples, model, push)} & goes


def test_as_many_versions_as_runs_stay_and_an_incomplete_one_does_not_count(lab):
    lab.run("1")
    for version in (1, 9, 10, 11):
        lab.file(f"serving/generator/{version}/saved_model.pb")
    lab.file("serving/generator/12/variables/data")
    lab.file("serving/generator/notes/text")
    lab.file("serving/generator/history.jsonl")
    assert lab.goes(2) == {"serving/generator/1", "serving/generator/9"}
    assert not [item for item in lab.plan(2).stays if item.path.name == "history.jsonl"]


def test_checkpoints_that_a_kept_run_has_written_stay(lab):
    lab.run("1")
    old = lab.node("GAN")
    lab.run("2")
    killed = lab.node("GAN", state=RUNNING)
    begun = {each.id: each.create_time_since_epoch / 1000 for each in lab.store.get_executions()}
    for key, at in (("old", begun[1] - 0.001), ("new", begun[killed])):
        lab.checkpoints(key, at)
    assert lab.goes(1) == {"checkpoints/old", name(lab, old), "logs/1.log", f"artifacts/GAN/out/{killed}"}


def test_the_checkpoints_of_what_serves_and_of_every_model_that_stays_stay_however_old(lab):
    lab.run("1")
    for name, model in (("cached", lab.node("GAN")), ("forgotten", lab.node("GAN"))):
        lab.export(lab.uri(model) / "Format-Serving", name)
        lab.checkpoints(name)
    lab.pushed(100, model)
    lab.export(lab.root / "serving" / "generator" / "100", "served")
    lab.checkpoints("served")
    lab.run("2")
    lab.node("GAN", cached=[model - 1])
    lab.pushed(200, lab.node("GAN"))
    assert {path for path in lab.goes(1) if path.startswith("checkpoints")} == {
        "checkpoints/forgotten", "checkpoints/served"
    }  # fmt: skip
    lab.export(lab.root / "serving" / "generator" / "200", "served")
    assert {path for path in lab.goes(1) if path.startswith("checkpoints")} == {"checkpoints/forgotten"}
    with files.locked(lab.root / "checkpoints" / "forgotten"):
        os.utime(lab.root / "checkpoints" / "forgotten", (1, 1))
        os.utime(lab.root / "checkpoints" / "forgotten" / files.LOCK_FILE, (1, 1))
        assert "checkpoints/forgotten" not in lab.goes(1)
    assert "checkpoints/forgotten" in lab.goes(1)


def test_the_best_version_stays_because_the_gate_compares_with_it(lab):
    lab.run("1")
    for version, kid in ((1, 0.3), (2, 0.1), (3, 0.2), (4, 0.4)):
        lab.file(f"serving/generator/{version}/saved_model.pb")
        lab.evaluated(version, kid)
    assert lab.goes(1) == {"serving/generator/1", "serving/generator/3"}


class TestOnACluster:
    """Where tasks of other runs may be at work, which do not take the root's lock."""

    @pytest.fixture(autouse=True)
    def _shared(self, lab):
        lab.is_shared = True

    def old_and_new(self, lab) -> int:
        """A run whose GAN is no longer in use, and the newest; the model of the former."""
        lab.run("1")
        old = lab.node("GAN")
        lab.finish()
        lab.file("serving/generator/.incoming/1/variables/data")
        lab.run("2")
        lab.node("GAN")
        lab.finish()
        return old

    def test_nothing_goes_while_a_run_is_under_way_whatever_its_tasks_do(self, lab):
        old = self.old_and_new(lab)
        assert {name(lab, old), "serving/generator/.incoming"} <= lab.goes(1)
        lab.run("3")
        for state in (RUNNING, proto.Execution.NEW, proto.Execution.FAILED, COMPLETE):  # a failed one may be retried
            lab.node("GAN", state=state)
            plan = lab.plan(1)
            assert (plan.goes, plan.artifacts, plan.waits_for) == ([], [], "3")
            assert "Run 3 has not ended: nothing is removed" in clean_summary.summary(plan)
        lab.finish()
        assert name(lab, old) in lab.goes(1) and lab.plan(1).waits_for is None

    def test_a_run_that_was_given_up_hinders_for_a_week(self, lab, monkeypatch):
        lab.run("given up")
        lab.node("GAN", state=RUNNING)
        old = self.old_and_new(lab)
        assert lab.plan(1).waits_for == "given up"
        time.sleep(0.01)
        monkeypatch.setattr(in_use, "_LONGEST", 0)
        assert name(lab, old) in lab.goes(1)

    def test_a_run_that_begins_after_it_was_planned_finds_all_there(self, lab):
        old = self.old_and_new(lab)
        plan = lab.plan(1)
        lab.run("3")
        with pytest.raises(ConfigError, match="run 3 has begun; nothing was removed"):
            clean.remove(plan)
        assert lab.state(old) == "LIVE" and (lab.uri(old) / "data").is_file()

    def test_runs_of_other_pipelines_in_the_store_do_not_count(self, lab):
        lab.run("1")
        mine = lab.node("GAN")
        lab.finish()
        for i in range(3):
            lab.run(f"other {i}", "other")
            lab.finish()
        assert name(lab, mine) not in lab.goes(1)

    def test_the_command_takes_the_store_of_the_environment(self, lab, tmp_path):
        lab.run("1")
        old = lab.uri(lab.node("GAN"))
        lab.finish()
        lab.run("2")
        lab.finish()
        store = tmp_path / "store.db"
        (lab.root / "metadata.db").rename(store)
        lab.root.rename(tmp_path / "volume")
        lab.root.symlink_to(tmp_path / "volume")  # as tasks see it
        (tmp_path / "elsewhere").mkdir()
        environ = {"PYTHONPATH": str(HOME), "PATH": "", "TAILGAN_METADATA_URI": f"sqlite:///{store}"}
        args = [sys.executable, "-m", "pipeline.cli", "clean", "--keep", "1", "--yes", "--root"]
        unknown = subprocess.run([*args, str(tmp_path / "elsewhere")], capture_output=True, text=True, env=environ)
        assert unknown.returncode == 2 and "knows nothing of it" in unknown.stderr and old.exists()
        done = subprocess.run([*args, str(lab.root)], capture_output=True, text=True, env=environ)
        assert done.returncode == 0 and not old.exists(), done.stderr


@pytest.mark.parametrize("state", ["PENDING", "ABANDONED", "REFERENCE", "UNKNOWN"])
def test_an_artifact_that_is_not_live_is_left_alone(lab, state):
    lab.run("1")
    model = lab.node("GAN")
    artifact = lab.store.get_artifacts_by_id([model])[0]
    artifact.state = proto.Artifact.State.Value(state)
    lab.store.put_artifacts([artifact])
    lab.run("2")
    assert lab.goes(1) == {"logs/1.log"}


def test_what_killed_runs_left_goes_and_what_the_store_does_not_know_stays(lab):
    lab.run("1")
    killed = lab.node("ExampleGen", state=RUNNING)
    lab.file(f"artifacts/ExampleGen/out/{killed}/.tmp-ingest/records")
    lab.file(f"artifacts/ExampleGen/.system/executor_execution/{killed}/.temp/x")
    lab.file("artifacts/ExampleGen/out/999/data")
    lab.file("artifacts/notes/about/this/text")
    lab.file("notes/out/1/text")
    lab.file("serving/generator/.incoming/1/variables/data")
    lab.file("artifacts.old-1/ExampleGen/examples/1/data")
    assert lab.goes(1) == {
        f"artifacts/ExampleGen/out/{killed}", f"artifacts/ExampleGen/.system/executor_execution/{killed}/.temp",
        "serving/generator/.incoming", "artifacts.old-1",
    }  # fmt: skip


def test_no_symbolic_link_leads_out_of_the_root(lab, tmp_path):
    lab.run("1")
    models = [lab.node(node) for node in ("A", "B", "C")]
    outside = tmp_path / "outside"
    for kind, path in (("itself", lab.uri(models[0])), ("parent", lab.uri(models[1]).parent)):
        path.rename(tmp_path / kind)
        path.symlink_to(tmp_path / kind)
    outside.mkdir()
    (outside / "precious").write_text("x")
    (lab.uri(models[2]) / "link").symlink_to(outside)
    (lab.root / "checkpoints").symlink_to(outside)
    lab.run("2")
    assert lab.goes(1) == {name(lab, models[2]), "logs/1.log"}
    lab.clean(1)
    assert (outside / "precious").is_file() and list((tmp_path / "itself").iterdir())
    assert list((tmp_path / "parent").glob("*/data"))


def test_an_artifact_outside_the_root_is_never_touched(lab, tmp_path):
    lab.run("1")
    model = lab.node("GAN")
    for uri in (tmp_path / "else" / "GAN" / "out" / "1", lab.root / "artifacts" / "GAN", lab.root / "metadata.db"):
        artifact = lab.store.get_artifacts_by_id([model])[0]
        artifact.uri = str(uri)
        lab.store.put_artifacts([artifact])
        uri.parent.mkdir(parents=True, exist_ok=True)
        lab.run(f"2 {uri.name}")
        assert not {path for path in lab.goes(1) if not path.startswith("logs/")}


@pytest.mark.parametrize(
    ("step", "call"),
    [("_mark", 1), ("_out_of_the_way", 1), ("_out_of_the_way", 2), ("_out_of_the_way", 3), ("rmtree", 1),
     ("rmtree", 2), ("rmtree", 3)],
)  # fmt: skip
def test_a_clean_that_dies_leaves_no_half_artifact_to_tfx_and_the_next_finishes_it(lab, monkeypatch, step, call):
    lab.run("1")
    old = [lab.node("ExampleGen"), lab.node("GAN")]
    lab.file("serving/generator/1/saved_model.pb")
    lab.file("serving/generator/2/saved_model.pb")
    lab.run("2")
    new = lab.node("GAN")
    module = clean.shutil if step == "rmtree" else clean
    real, calls = getattr(module, step), []

    def dies(path, *args):
        calls.append(path)
        if len(calls) == call:
            if step == "rmtree":
                next(each for each in path.rglob("*") if each.is_file()).unlink()
            raise KeyboardInterrupt
        return real(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(module, step, dies)
        with pytest.raises(KeyboardInterrupt):
            lab.clean(1)
    for artifact in old:
        whole = lab.uri(artifact).is_dir() and (lab.uri(artifact) / "data").is_file()
        assert lab.state(artifact) != "LIVE" or whole
    first = lab.root / "serving" / "generator" / "1"
    assert (first / "saved_model.pb").is_file() or not first.exists()
    lab.clean(1)
    remaining = [path for path in (lab.root / "artifacts").glob("*/*/*")]
    assert remaining == [lab.uri(new)]
    assert [path.name for path in (lab.root / "serving" / "generator").iterdir()] == ["2"]


def test_a_clean_that_is_killed_outright_is_finished_by_the_next(lab):
    lab.run("1")
    old = [lab.node("GAN") for _ in range(10)]
    uris = [lab.uri(artifact) for artifact in old]
    for path in uris:
        for number in range(2000):
            (path / f"{number}").touch()
    lab.run("2")
    new = lab.node("GAN")
    args = [sys.executable, "-m", "pipeline.cli", "clean", "--root", str(lab.root), "--keep", "1", "--yes"]
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL, env={"PYTHONPATH": str(HOME), "PATH": ""})
    while all(path.exists() for path in uris):
        assert process.poll() is None
    process.kill()
    process.wait()
    left = [path for path in uris if path.exists()]
    assert left and all(len(list(path.iterdir())) == 2001 for path in left)
    assert {lab.state(artifact) for artifact in old} == {"DELETED"}
    assert command("--root", str(lab.root), "--keep", "1", "--yes").returncode == 0
    assert list((lab.root / "artifacts").glob("*/*/*")) == [lab.uri(new)]


def test_it_only_shows_without_a_terminal_and_removes_with_yes(lab):
    lab.run("1")
    model = lab.uri(lab.node("GAN"))
    lab.run("2")
    for args in ((), ("--dry-run",)):
        shown = command("--root", str(lab.root), "--keep", "1", *args)
        assert shown.returncode == 0 and not shown.stderr
        assert shown.stdout.splitlines()[2].split()[:2] == ["artifacts", "1"]
        assert ("--yes removes it" in shown.stdout) == (not args)
        assert model.is_dir()
    done = command("--root", str(lab.root), "--keep", "1", "--yes")
    assert done.returncode == 0 and "Removed " in done.stdout and not model.exists()


def test_a_terminal_is_asked_and_no_is_the_answer_when_none_is_given(lab):
    lab.run("1")
    model = lab.uri(lab.node("GAN"))
    lab.run("2")
    for answer, gone in (("\n", False), ("\x04", False), ("y\n", True)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "clean", "--root", str(lab.root), "--keep", "1"],
            stdin=slave, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(HOME), "PATH": ""},
        )  # fmt: skip
        os.write(master, answer.encode())
        out, _ = process.communicate(timeout=60)
        os.close(slave)
        os.close(master)
        assert process.returncode == 0 and "? [y/N]" in out
        assert model.exists() != gone


def test_a_directory_that_is_no_root_is_refused(tmp_path):
    precious = tmp_path / "logs" / "mine.log"
    precious.parent.mkdir()
    precious.write_text("x")
    refused = command("--root", str(tmp_path), "--keep", "1", "--yes")
    assert refused.returncode == 2 and "no root of tailgan" in refused.stderr
    assert precious.is_file() and not (tmp_path / ".lock").exists()


def test_a_store_without_a_run_tells_nothing_so_nothing_goes(lab):
    lab.file("logs/mine.log")
    refused = command("--root", str(lab.root), "--keep", "1", "--yes")
    assert refused.returncode == 2 and "no run here" in refused.stderr and (lab.root / "logs" / "mine.log").is_file()


def test_a_damaged_store_is_named_and_nothing_is_removed(tmp_path):
    (tmp_path / "metadata.db").write_bytes(b"x" * 5000)
    with pytest.raises(ConfigError, match=r"metadata\.db: the metadata store is damaged"), clean.opened(tmp_path):
        pass


def test_a_root_at_work_is_refused_with_the_pid(lab):
    with locked(lab.root):
        refused = command("--root", str(lab.root), "--keep", "1", "--yes")
    assert refused.returncode == 2 and f"pid {os.getpid()}" in refused.stderr


def test_it_starts_without_tensorflow_and_tfx(lab):
    lab.run("1")
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        f"assert main(['clean', '--root', {str(lab.root)!r}, '--keep', '1']) == 0\n"
        "assert not {'tensorflow', 'tfx', 'keras', 'apache_beam'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOME)
    assert done.returncode == 0, done.stderr


def test_a_root_of_a_newer_version_is_not_cleaned(lab):
    lab.run("1")
    (lab.root / "root.json").write_text('{"format": 99, "tailgan": "9.0.0"}')
    with pytest.raises(ConfigError, match=r"made by tailgan 9\.0\.0 in format 99"), clean.opened(lab.root):
        pass
