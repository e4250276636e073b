"""Files are whole or not there."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

from models.files import is_locked, locked, move_whole, write_whole


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


def test_many_who_write_one_file_at_once_do_not_share_a_temporary_one(tmp_path):
    """Threads, because they have one pid, as processes in two containers may."""
    texts, failed = [str(i) * 100_000 for i in range(4)], []

    def write(text):
        try:
            for _ in range(20):
                write_whole(tmp_path / "file", text, flush=False)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and (tmp_path / "file").read_text() in texts and os.listdir(tmp_path) == ["file"]


def test_a_lock_is_waited_for_and_free_when_its_holder_is_killed(tmp_path, caplog):
    caplog.set_level("INFO", logger="tailgan")
    assert not is_locked(tmp_path) and os.listdir(tmp_path) == []
    program = (
        "import sys, time; from pathlib import Path; from models.files import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline()
    assert is_locked(tmp_path)
    killing = threading.Timer(0.3, holder.kill)
    killing.start()
    with locked(tmp_path):
        assert holder.wait() < 0 and is_locked(tmp_path)
    assert not is_locked(tmp_path)
    assert f"{tmp_path}: another process is at work here; waiting for it" in caplog.text
