"""Files are whole or not there."""

import errno
import os
import stat

import pytest

from models.files import move_whole, write_whole


@pytest.fixture
def flushed(monkeypatch):
    """What is flushed to the disk, True for a directory; directories fail with `flushed.error` if it is set."""

    class Flushed(list):
        error: int | None = None

    seen = Flushed()

    def fsync(descriptor):
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append(is_directory)
        if is_directory and seen.error:
            raise OSError(seen.error, os.strerror(seen.error))

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_file_and_the_folder_that_names_it_are_flushed(tmp_path, flushed):
    write_whole(tmp_path / "file", "ä")
    assert flushed == [False, True] and (tmp_path / "file").read_bytes() == "ä".encode()
    assert os.listdir(tmp_path) == ["file"]


def test_without_a_flush_the_file_is_renamed_all_the_same(tmp_path, flushed):
    write_whole(tmp_path / "file", b"x", flush=False)
    assert flushed == [] and os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["EINVAL", "EBADF", "ENOTSUP", "EACCES", "EISDIR"])
def test_a_file_system_that_flushes_no_directories_will_do(tmp_path, flushed, name):
    flushed.error = getattr(errno, name)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    move_whole(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new" / "file").exists() and flushed == [True, False, True]


def test_a_disk_that_fails_is_told(tmp_path, flushed, monkeypatch):
    flushed.error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "file", "x")
    monkeypatch.setattr(os, "fsync", lambda _: os.open(tmp_path / "none" / "none", os.O_RDONLY))
    with pytest.raises(OSError, match="No such file"):
        write_whole(tmp_path / "other", "x")
    assert "other" not in os.listdir(tmp_path)
