"""What is kept of real images: whole, under a key of all that decides it, and made anew where it is damaged."""

import os

import numpy as np
import pytest

from components.evaluator.cache import Cache, key

ARRAYS = {
    "labels": np.arange(5),
    "ids": np.array([b"a", b"bc", b"", b"d", b"e"]),
    "pixels": np.ones((5, 2), np.float32),
}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_what_is_saved_is_loaded(cache):
    assert cache.load("k") is None
    cache.save("k", ARRAYS)
    found = cache.load("k")
    assert found is not None and found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()
    assert [path.name for path in cache.path("k").parent.iterdir()] == ["k.npz"]


def test_use_renews_the_time_of_a_file(cache):
    """`tailgan clean` goes by it."""
    cache.save("k", ARRAYS)
    os.utime(cache.path("k"), (1, 1))
    cache.load("k")
    assert cache.path("k").stat().st_mtime > 1e9


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive at all"])
def test_a_file_that_is_no_archive_is_as_good_as_none(cache, damage):
    cache.save("k", ARRAYS)
    cache.path("k").write_bytes(damage)
    assert cache.load("k") is None and not cache.path("k").exists()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_one_changed_or_missing_byte_is_found(cache, place):
    cache.save("k", {"a": np.arange(1000)})
    whole = cache.path("k").read_bytes()
    at = int(place * len(whole))
    cache.path("k").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert cache.load("k") is None
    cache.save("k", {"a": np.arange(1000)})
    cache.path("k").write_bytes(whole[:at])
    assert cache.load("k") is None


def test_pickles_are_not_opened(cache, tmp_path):
    cache.save("k", ARRAYS)
    np.savez(cache.path("k"), a=np.array([object()], object))
    assert cache.load("k") is None


def test_a_key_is_that_of_all_its_parts():
    assert key(a="1", b="2") == key(b="2", a="1")
    assert len({key(a="1", b="2"), key(a="2", b="1"), key(a="12"), key(a="1"), key(a="1", b="2", c="")}) == 5


def test_two_processes_that_keep_the_same_at_once_never_see_a_part(cache):
    arrays, children = {"a": np.arange(20_000)}, []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(30):
                    found = cache.load("k")
                    assert found is None or np.array_equal(found["a"], arrays["a"])
                    cache.save("k", arrays)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert np.array_equal(cache.load("k")["a"], arrays["a"])
    assert [path.name for path in cache.path("k").parent.iterdir()] == ["k.npz"]
