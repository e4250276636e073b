"""What serves: the version that the gate compares with."""

import json

import pytest

from components.evaluator.served import what_serves


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
