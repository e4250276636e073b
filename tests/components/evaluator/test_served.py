"""What serves: the version that the gate compares with."""

import json
from pathlib import Path

import pytest

from components.evaluator.served import best_served, fingerprint, what_serves


@pytest.fixture
def push(tmp_path):
    def push(version: str, fingerprint: str | None = "abc", complete: bool = True):
        folder = tmp_path / version
        (folder / "assets.extra").mkdir(parents=True)
        if fingerprint:
            (folder / "assets.extra" / "tailgan.json").write_text(json.dumps({"fingerprint": fingerprint}))
        if complete:
            (folder / "saved_model.pb").write_bytes(version.encode())
        return str(tmp_path)

    return push


def test_the_highest_complete_version_serves(push):
    push("9", "nine")
    push("10", "ten")
    push("11", "eleven", complete=False)
    base = push("notes", "none")
    served = what_serves(base)
    assert served is not None and (served.version, served.fingerprint) == (10, "ten")


def test_nothing_serves_from_an_absent_or_empty_base(tmp_path):
    assert what_serves(str(tmp_path)) is None
    assert what_serves(str(tmp_path / "absent")) is None


def test_a_foreign_model_is_known_by_its_files(push):
    first = what_serves(push("1", fingerprint=None))
    second = what_serves(push("2", fingerprint=None))
    assert first and second and first.fingerprint != second.fingerprint


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"fingerprint": 3}', "\xff"])
def test_a_damaged_description_hinders_nobody_and_is_like_no_other(push, content):
    for version in "12":
        base = push(version)
        (Path(base) / version / "assets.extra" / "tailgan.json").write_text(content, encoding="latin-1")
        judged(base, version, 0.1)
    served, best = what_serves(base), best_served(base)
    assert served and best and served.version == best.version == 2 and len(served.fingerprint) == 64
    push("3")
    assert served.fingerprint != fingerprint(Path(base) / "1")


def test_changed_files_are_seen_though_the_fingerprint_stays(push):
    served = what_serves(push("1"))
    assert what_serves(push("2", complete=False)) == served
    (Path(served.path) / "saved_model.pb").write_bytes(b"")
    changed = what_serves(str(Path(served.path).parent))
    assert changed.fingerprint == served.fingerprint and changed.files != served.files


def judged(base, version: str, mean: float | None, classes=("a", "b")):
    """Lays the evaluation of a pushed version beside it."""
    document = {"per_class": {name: {} for name in classes}, "groups": {"mean": {"kid_relative": mean}}}
    path = Path(base) / version / "assets.extra" / "evaluation.json"
    path.write_text(json.dumps(document))
    return path


def test_the_best_has_the_lowest_mean_distance_and_of_equals_is_the_newest(push):
    for version, mean in (("1", 0.2), ("2", 0.1), ("3", 0.1), ("4", 0.3)):
        base = push(version, f"f{version}")
        judged(base, version, mean)
    best = best_served(base)
    assert best is not None and (best.version, best.fingerprint) == (3, "f3")


def test_versions_that_were_removed_not_judged_or_have_other_classes_are_not_the_best(push):
    for version, mean, classes in (
        ("1", 0.01, "ab"),
        ("2", 0.02, "abc"),
        ("3", None, "ab"),
        ("4", 0.3, "ab"),
        ("5", 0.2, "ba"),
    ):
        base = push(version)
        judged(base, version, mean, classes)
    push("6")  # by hand, or by an earlier version
    (judged(base, "4", 0.0).parent / "evaluation.json").write_text("{")
    (Path(base) / "1" / "saved_model.pb").unlink()
    best = best_served(base)
    assert best is not None and best.version == 5


def test_without_a_judged_version_there_is_no_best(push, tmp_path):
    assert best_served(str(tmp_path / "absent")) is None
    assert best_served(push("1")) is None
