"""`tailgan runs` of a root or of a metadata store: a row a run, the newest first."""

import json

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline import cli

COMPLETE, RUNNING, FAILED = pb.Execution.COMPLETE, pb.Execution.RUNNING, pb.Execution.FAILED


@pytest.fixture
def root(tmp_path):
    """A root whose store knows five runs of two pipelines, as TFX notes them."""
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = metadata_store.MetadataStore(config)
    kinds = {name: store.put_context_type(pb.ContextType(name=name)) for name in ("pipeline", "pipeline_run")}
    node = store.put_execution_type(pb.ExecutionType(name="node"))
    parents = {
        name: store.put_contexts([pb.Context(type_id=kinds["pipeline"], name=name)])[0] for name in ("digits", "tiles")
    }
    types = {name: store.put_artifact_type(pb.ArtifactType(name=name)) for name in ("ModelEvaluation", "PushedModel")}
    for name, pipeline, states, verdict, version in (
        ("1", "digits", [COMPLETE], "blessed", 77),
        ("pushed before verdicts were noted", "digits", [COMPLETE], None, 78),
        ("2", "tiles", [COMPLETE], "not_blessed", None),
        ("3", "digits", [COMPLETE, FAILED], None, None),
        ("4", "digits", [COMPLETE, RUNNING], None, None),
    ):
        (run,) = store.put_contexts([pb.Context(type_id=kinds["pipeline_run"], name=name)])
        store.put_parent_contexts([pb.ParentContext(child_id=run, parent_id=parents[pipeline])])
        for state in states:
            (execution,) = store.put_executions([pb.Execution(type_id=node, last_known_state=state)])
            store.put_attributions_and_associations([], [pb.Association(execution_id=execution, context_id=run)])
        for kind in types if verdict or version else ():
            artifact = pb.Artifact(type_id=types[kind], uri=f"{kind}/{name}")
            if kind == "ModelEvaluation" and verdict:
                artifact.custom_properties["verdict"].string_value = verdict
                artifact.custom_properties["fid"].double_value = 1.5
            elif kind == "PushedModel" and version:
                artifact.custom_properties["pushed_version"].string_value = str(version)
            (id,) = store.put_artifacts([artifact])
            store.put_attributions_and_associations([pb.Attribution(artifact_id=id, context_id=run)], [])
    return tmp_path


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch):
    for name in ("TAILGAN_METADATA_URI", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def rows(capsys, *args):
    assert cli.main(["runs", "--json", *args]) == 0
    return [
        (row["run_id"], row["name"], row["state"], row["verdict"], row["fid"], row["version"])
        for row in json.loads(capsys.readouterr().out)
    ]


def test_every_run_of_a_root_has_a_row(root, capsys):
    assert rows(capsys, "--root", str(root)) == [
        ("4", "digits", "UNFINISHED", None, None, None),
        ("3", "digits", "FAILED", None, None, None),
        ("2", "tiles", "SUCCEEDED", "not_blessed", 1.5, None),
        ("pushed before verdicts were noted", "digits", "SUCCEEDED", None, None, 78),
        ("1", "digits", "SUCCEEDED", "blessed", 1.5, 77),
    ]
    assert [row[0] for row in rows(capsys, "--root", str(root), "--name", "digits", "--last", "2")] == ["4", "3"]
    assert rows(capsys, "--root", str(root), "--name", "none") == []


def test_the_store_of_the_environment_is_taken_where_no_root_is_named(root, capsys, monkeypatch):
    of_root = rows(capsys, "--root", str(root))
    monkeypatch.setenv("TAILGAN_METADATA_URI", f"sqlite:///{root / 'metadata.db'}")
    assert rows(capsys) == of_root
    assert cli.main(["runs"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:4] == ["run_id", "name", "created", "state"] and table[5].split()[-1] == "77"


def test_where_there_is_nothing_to_look_at_it_says_what_is_needed(tmp_path, capsys):
    assert cli.main(["runs"]) == 2
    told = capsys.readouterr().err
    assert "--host" in told and "--root" in told and "TAILGAN_METADATA_URI" in told
    assert cli.main(["runs", "--root", str(tmp_path)]) == 2
    assert "no root of tailgan" in capsys.readouterr().err
