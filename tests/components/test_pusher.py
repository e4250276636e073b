"""What our Pusher adds to TFX's: versions appear whole and above all others, and a failed push leaves nothing."""

import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.evaluator.served import what_serves
from components.pusher import executor


def artifacts(tmp_path, blessed=1):
    """Input and output of the executor, with a model of two files."""
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    serving = tmp_path / "model" / "Format-Serving"
    (serving / "variables").mkdir(parents=True)
    (serving / "saved_model.pb").write_text("graph")
    (serving / "variables" / "variables.index").write_text("weights")
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", blessed)
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    return {"model": [model], "model_blessing": [blessing]}, {"pushed_model": [pushed]}


def push(base: Path, inputs, outputs):
    destination = json.dumps({"filesystem": {"base_directory": str(base)}})
    executor.Executor().Do(inputs, outputs, {"push_destination": destination})


def names(base: Path):
    return sorted(path.name for path in base.iterdir()) if base.exists() else []


def test_a_blessed_model_is_pushed_whole_and_recorded_where_it_lies(tmp_path):
    inputs, outputs = artifacts(tmp_path)
    push(tmp_path / "serving", inputs, outputs)
    (version,) = names(tmp_path / "serving")
    assert (tmp_path / "serving" / version / "variables" / "variables.index").read_text() == "weights"
    assert what_serves(str(tmp_path / "serving")).version == int(version)
    (pushed,) = outputs["pushed_model"]
    assert pushed.get_string_custom_property("pushed_destination") == str(tmp_path / "serving" / version)
    assert pushed.get_string_custom_property("pushed_version") == version


def test_a_model_that_is_not_blessed_is_not_pushed(tmp_path):
    inputs, outputs = artifacts(tmp_path, blessed=0)
    push(tmp_path / "serving", inputs, outputs)
    assert names(tmp_path / "serving") == []
    assert outputs["pushed_model"][0].get_int_custom_property("pushed") == 0


def test_a_version_is_above_all_others_even_when_the_clock_was_put_back(tmp_path):
    base = tmp_path / "serving"
    (base / "99999999999").mkdir(parents=True)
    push(base, *artifacts(tmp_path))
    assert names(base) == ["100000000000", "99999999999"]


def test_two_pushes_within_a_second_are_two_versions(tmp_path):
    for _ in range(2):
        push(tmp_path / "serving", *artifacts(tmp_path / "a" / str(_)))
    assert len(names(tmp_path / "serving")) == 2


@pytest.mark.parametrize("copied", [0, 1])
def test_a_push_that_fails_on_the_way_shows_no_server_a_version_and_leaves_nothing(tmp_path, monkeypatch, copied):
    from tfx.dsl.io import fileio

    real, calls = fileio.copy, []

    def copy(*args, **kwargs):
        if len(calls) == copied:
            assert not [name for name in names(tmp_path / "serving") if name.isdecimal()]
            raise OSError(28, "No space left on device")
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(fileio, "copy", copy)
    with pytest.raises(OSError, match="No space left"):
        push(tmp_path / "serving", *artifacts(tmp_path))
    assert names(tmp_path / "serving") == []


def test_what_a_killed_push_left_is_cleared_away(tmp_path):
    left = tmp_path / "serving" / executor.STAGING / "123"
    left.mkdir(parents=True)
    (left / "part").write_text("of a model")
    push(tmp_path / "serving", *artifacts(tmp_path))
    assert len(names(tmp_path / "serving")) == 1 and names(tmp_path / "serving")[0].isdecimal()
