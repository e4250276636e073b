"""Temporary files of a run lie below its root and are gone afterwards."""

import os
import subprocess
import sys
import tempfile

import pytest

from pipeline.scratch import temporary_files

CHILD = [sys.executable, "-c", "import tempfile; tempfile.mkdtemp()"]


def test_what_this_process_and_its_children_leave_is_removed(tmp_path):
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with pytest.raises(ZeroDivisionError), temporary_files(tmp_path):
        tempfile.mkdtemp()
        subprocess.run(CHILD, check=True)
        assert len(list((tmp_path / "tmp").iterdir())) == 2
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    (tmp_path / "tmp" / "left").mkdir(parents=True)
    with temporary_files(tmp_path):
        assert not list((tmp_path / "tmp").iterdir())


def test_a_directory_that_was_set_is_set_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/somewhere")
    with temporary_files(tmp_path):
        assert os.environ["TMPDIR"] == str(tmp_path / "tmp")
    assert os.environ["TMPDIR"] == "/somewhere"
