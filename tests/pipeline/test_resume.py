"""`tailgan run --resume` goes on with the newest run, or says what is other than it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import config, resume
from pipeline.record import RunRecord

HOME = Path(__file__).parent.parent.parent
DIGITS = HOME / "configs" / "digits.yaml"


def write_record(root: Path, *overrides: str, **changes) -> None:
    values = config.load(DIGITS, overrides).model_dump(mode="json")
    root.mkdir(exist_ok=True)
    RunRecord(
        run_id="20260101T000000.000000Z", pid=1, started="2026-01-01", serving_dir="", nodes={}, config=values | changes
    ).save(root)


def refused(root: Path, *overrides: str) -> list[str]:
    """What the command says when it refuses to go on."""
    sets = [part for override in overrides for part in ("--set", override)]
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", str(DIGITS), "--root", str(root), "--resume", *sets],
        capture_output=True, text=True, cwd=HOME,
    )  # fmt: skip
    assert result.returncode == 2 and not result.stdout, result.stdout + result.stderr
    return [line.removeprefix("tailgan: ") for line in result.stderr.splitlines()]


def test_where_nothing_was_run_there_is_nothing_to_go_on_with(tmp_path):
    assert refused(tmp_path / "root") == [f"{tmp_path / 'root'}: no run here that --resume could go on with"]
    assert not (tmp_path / "root").exists()


def test_each_key_that_differs_is_named_with_both_values(tmp_path):
    write_record(tmp_path, "rebalance.strategy={'9': 40}", "gan.keep_checkpoints=7")
    head, *lines = refused(tmp_path, "gan.steps=4000", "gan.generator_optimizer.learning_rate=0.5", "beam.runner=Other")
    assert "--resume goes on with run 20260101T000000.000000Z" in head
    assert lines == [
        'rebalance.strategy: {"9": 40} -> "power"',
        "gan.steps: 2000 -> 4000",
        "gan.generator_optimizer.learning_rate: 0.0004 -> 0.5",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_how_often_is_saved_and_what_runs_beam_may_differ(tmp_path):
    write_record(tmp_path)
    overrides = ("gan.checkpoint_every=7", "gan.keep_checkpoints=9", "beam.runner=Other", "beam.args=[--a=2]")
    resume.check(tmp_path, config.load(DIGITS, overrides))


def test_a_record_of_a_version_with_other_keys_and_many_differences(tmp_path):
    values = config.load(DIGITS).model_dump(mode="json")
    gan = {key: value for key, value in values["gan"].items() if key != "steps"} | {f"old_{i}": i for i in range(20)}
    write_record(tmp_path, gan=gan)
    with pytest.raises(config.ConfigError) as refusal:
        resume.check(tmp_path, config.load(DIGITS))
    _, first, *lines = str(refusal.value).splitlines()
    assert first == "gan.steps: absent -> 2000" and lines[0] == "gan.old_0: 0 -> absent"
    assert len(lines) == 10 and lines[-1] == "and 11 keys more"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": {}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": None}, {"a": {"b": 1}}, ["a"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"beam": {"a": 1}, "beams": 1}, {"beam": None, "beams": 2}, ["beams"]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_keys_are_followed_as_far_as_both_are_sections(before, now, expected):
    assert [key for key, *_ in resume.differences(before, now)] == expected


def test_long_values_are_cut(tmp_path):
    write_record(tmp_path, name="x" * 500)
    (_, line) = refused(tmp_path)
    assert len(line) < 100 and line.endswith('... -> "digits"')


def test_a_damaged_record_is_told(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({}))
    assert "damaged" in refused(tmp_path)[0]
