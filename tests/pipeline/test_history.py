"""The versions below a serving directory: the one that serves, those before it, and those that are gone."""

import json

import pytest

from components.evaluator.constants import EVALUATION_FILE
from components.pusher import history as rows_of_pushes
from pipeline import history


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "generator"
    path.mkdir()
    return path


def pushed(base, version, evaluation=None, row=True):
    """A version as the Pusher leaves it."""
    extra = base / str(version) / "assets.extra"
    extra.mkdir(parents=True)
    (extra.parent / "saved_model.pb").write_text("graph")
    (extra / "tailgan.json").write_text(json.dumps({"fingerprint": f"g{version}"}))
    if evaluation:
        (extra / EVALUATION_FILE).write_text(json.dumps(evaluation))
    if row:
        told = {"version": version, "time": "2026-01-02T03:04:05+00:00", "generator": f"g{version}"}
        rows_of_pushes.append(base, {**told, **rows_of_pushes.figures(evaluation)})


def states(base):
    return {row["version"]: row["state"] for row in history.versions(base)}


def test_there_is_none_where_nothing_was_pushed(base, tmp_path):
    assert history.versions(base) == history.versions(tmp_path / "nowhere") == []


def test_the_newest_serves_and_a_removed_one_is_remembered_with_its_figures(base, document):
    for version in (1, 2, 10):
        pushed(base, version, document())
    assert states(base) == {1: "kept", 2: "kept", 10: "serving"}
    (base / "10").rename(base.parent / "away")
    assert states(base) == {1: "kept", 2: "serving", 10: "removed"}
    gone = history.versions(base)[-1]
    assert (gone["mean_kid_relative"], gone["fid"], gone["generator"]) == (0.05, 1.0, "g10")
    assert history.day(gone) == "2026-01-02 03:04"


def test_a_version_without_a_row_has_the_figures_of_its_own_evaluation(base, document):
    pushed(base, 1, document(), row=False)
    pushed(base, 2, row=False)
    known, unknown = history.versions(base)
    assert known["worst_label_agreement_ratio"] == 1.0 and known["generator"] == "g1" and history.day(known) == ""
    assert unknown["mean_kid_relative"] is None and unknown["state"] == "serving"


def test_lines_that_are_no_rows_are_left_out(base):
    (base / rows_of_pushes.FILE_NAME).write_bytes(b'\xff\n[1]\n{"version": "x"}\n{"version": 3}\n{"versi')
    assert states(base) == {3: "removed"}
    assert history.versions(base)[0]["fid"] is None


def test_figures_that_are_no_finite_numbers_are_not_known(base):
    (base / rows_of_pushes.FILE_NAME).write_text('{"version": 3, "fid": NaN, "kid": "0.1", "label_agreement": 1e999}')
    (row,) = history.versions(base)
    assert row["fid"] is row["kid"] is row["label_agreement"] is None
    assert rows_of_pushes.figures({"fid": float("nan"), "kid": 0.5})["fid"] is None


def test_figures_come_from_the_whole_and_the_groups(document):
    evaluation = document()
    evaluation["groups"]["tail"]["kid_relative"] = 0.4
    assert rows_of_pushes.figures(evaluation) == {
        "kid": 0.1, "fid": 1.0, "label_agreement": 0.9, "worst_label_agreement_ratio": 1.0, "mean_kid_relative": 0.05,
        "tail_kid_relative": 0.4,
    }  # fmt: skip
    assert set(rows_of_pushes.figures({"verdict": "blessed"}).values()) == {None}
