"""What our Pusher adds to TFX's: versions appear whole and above all others, with their evaluation and a row in the
history, and a failed push leaves nothing."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.evaluator.constants import EVALUATION_FILE, MODEL_CARD_FILE
from components.evaluator.served import what_serves
from components.pusher import executor, history
from models.files import LOCK_FILE
from models.versions import METADATA_FILE


def artifacts(tmp_path, blessed=1):
    """Input and output of the executor, with a model of three files that is another one in another folder."""
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    serving = tmp_path / "model" / "Format-Serving"
    (serving / "variables").mkdir(parents=True)
    (serving / "saved_model.pb").write_text("graph")
    (serving / "variables" / "variables.index").write_text("weights")
    (serving / "assets.extra").mkdir()
    (serving / METADATA_FILE).write_text(json.dumps({"fingerprint": str(tmp_path)}))
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path / "blessing")
    (tmp_path / "blessing").mkdir()
    blessing.set_int_custom_property("blessed", blessed)
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    return {"model": [model], "model_blessing": [blessing]}, {"pushed_model": [pushed]}


def push(base: Path, inputs, outputs):
    destination = json.dumps({"filesystem": {"base_directory": str(base)}})
    executor.Executor().Do(inputs, outputs, {"push_destination": destination})


def names(base: Path):
    """What a server sees, and anything else but the history and the lock."""
    return sorted({path.name for path in base.iterdir()} - {history.FILE_NAME, LOCK_FILE}) if base.exists() else []


def evaluated(inputs, evaluation) -> None:
    """Puts into the blessing what the Evaluator puts there."""
    folder = Path(inputs["model_blessing"][0].uri)
    (folder / EVALUATION_FILE).write_text(json.dumps(evaluation))
    (folder / MODEL_CARD_FILE).write_text("# Model card")


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


def test_a_push_that_was_made_and_not_noted_is_not_made_again(tmp_path):
    inputs, outputs = artifacts(tmp_path)
    push(tmp_path / "serving", inputs, outputs)
    (again,) = outputs["pushed_model"] = [standard_artifacts.PushedModel()]
    again.uri = str(tmp_path / "again")
    push(tmp_path / "serving", inputs, outputs)
    (version,) = names(tmp_path / "serving")
    assert again.get_string_custom_property("pushed_version") == version
    assert again.get_string_custom_property("pushed_destination") == str(tmp_path / "serving" / version)
    assert len(history.rows(tmp_path / "serving")) == 1


def test_a_version_is_above_all_others_even_when_the_clock_was_put_back(tmp_path):
    base = tmp_path / "serving"
    (base / "99999999999").mkdir(parents=True)
    push(base, *artifacts(tmp_path))
    assert names(base) == ["100000000000", "99999999999"]


def test_the_number_of_a_version_that_was_removed_is_not_used_again(tmp_path):
    base = tmp_path / "serving"
    base.mkdir()
    history.append(base, {"version": 99999999999})
    push(base, *artifacts(tmp_path))
    assert names(base) == ["100000000000"]


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


def test_the_evaluation_and_the_card_are_pushed_with_the_model_and_make_a_row(tmp_path, document):
    inputs, outputs = artifacts(tmp_path)
    evaluated(inputs, document())
    push(tmp_path / "serving", inputs, outputs)
    (version,) = names(tmp_path / "serving")
    extra = tmp_path / "serving" / version / "assets.extra"
    assert json.loads((extra / EVALUATION_FILE).read_text()) == document()
    assert (extra / MODEL_CARD_FILE).read_text() == "# Model card"
    (row,) = history.rows(tmp_path / "serving")
    pushed_at = datetime.fromisoformat(row.pop("time"))
    assert timedelta(0) <= datetime.now(UTC) - pushed_at < timedelta(minutes=5)
    assert row == {
        "version": int(version), "generator": "g" * 64, "kid": 0.1, "fid": 1.0, "label_agreement": 0.9,
        "worst_label_agreement_ratio": 1.0, "mean_kid_relative": 0.05, "tail_kid_relative": 0.05,
    }  # fmt: skip


def test_a_blessing_of_an_earlier_version_is_pushed_and_its_row_has_no_figures(tmp_path):
    push(tmp_path / "serving", *artifacts(tmp_path))
    (row,) = history.rows(tmp_path / "serving")
    assert row["generator"] == what_serves(str(tmp_path / "serving")).fingerprint and row["kid"] is None
    beside = tmp_path / "serving" / str(row["version"]) / "assets.extra"
    assert [path.name for path in beside.iterdir()] == ["tailgan.json"]


def test_rows_are_added_to_those_that_are_there(tmp_path):
    base = tmp_path / "serving"
    for i in range(3):
        push(base, *artifacts(tmp_path / "a" / str(i)))
    assert [row["version"] for row in history.rows(base)] == sorted(map(int, names(base)))


def test_a_version_whose_last_step_fails_leaves_no_row(tmp_path, monkeypatch):
    def fail(source, target):
        assert len(history.rows(tmp_path / "serving")) == 1 and source.name == target.name
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(executor, "move_whole", fail)
    with pytest.raises(OSError, match="Input/output"):
        push(tmp_path / "serving", *artifacts(tmp_path))
    assert names(tmp_path / "serving") == [] and history.rows(tmp_path / "serving") == []


@pytest.mark.parametrize("step", ["_add_evaluation", "_row", "move_whole", "_clear"])
def test_killed_at_any_step_there_is_a_whole_version_or_none_and_the_next_push_sets_the_history_right(
    tmp_path, document, step
):
    base = tmp_path / "serving"
    push(base, *artifacts(tmp_path / "before"))
    inputs, outputs = artifacts(tmp_path / "killed")
    evaluated(inputs, document())
    child = os.fork()
    if child == 0:  # the process that dies on the way; `_clear` at its second call, the end
        calls = []

        def die(*args):
            calls.append(args)
            if step != "_clear" or len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(executor, step, die)
        push(base, inputs, outputs)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    versions = {name for name in names(base) if name.isdecimal()}
    assert len(versions) == 1 + (step == "_clear")
    assert all((base / name / "saved_model.pb").read_text() == "graph" for name in versions)

    push(base, *artifacts(tmp_path / "after"))
    assert [str(row["version"]) for row in history.rows(base)] == names(base) and len(names(base)) == len(versions) + 1


def test_the_row_of_a_version_that_is_there_stays_though_a_killed_push_was_given_its_number_by_tfx(tmp_path):
    base = tmp_path / "serving"
    for folder in (base, base / executor.STAGING):
        (folder / "5").mkdir(parents=True)
    history.append(base, {"version": 5})
    push(base, *artifacts(tmp_path))
    assert history.rows(base)[0] == {"version": 5} and len(history.rows(base)) == 2


def test_two_processes_that_push_at_once_make_a_version_and_a_row_each(tmp_path):
    base, each = tmp_path / "serving", 6
    pairs = [[artifacts(tmp_path / str(process) / str(i)) for i in range(each)] for process in range(2)]
    ready, go = os.pipe()
    children = []
    for of_process in pairs:
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # until the other is there too
            try:
                for inputs, outputs in of_process:
                    push(base, inputs, outputs)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(go)
    os.close(ready)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert len(names(base)) == 2 * each and [str(row["version"]) for row in history.rows(base)] == names(base)
    for name in names(base):
        assert (base / name / "saved_model.pb").read_text() == "graph"
        assert (base / name / "variables" / "variables.index").read_text() == "weights"
