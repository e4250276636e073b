"""Which versions are served, as directories come and go. A model is a text here; test_endpoint.py has real ones."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from serving.config import ModelConfig, VersionPolicy
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.versions import Versions


class Text:
    """A model that is a text; `broken` cannot be loaded, `cold` not be warmed, and what is `odd` raises anything."""

    loaded: list["Text"] = []

    def __init__(self, path: Path):
        file = path / "saved_model.pb"
        if not file.is_file() or file.read_text() == "broken":
            raise ServingError("NOT_FOUND", f"no model in {path}")
        self.text = file.read_text()
        self.closed = False
        self.loaded.append(self)

    def warm_up(self, path: Path) -> float:
        if self.text == "cold":
            raise ServingError("INVALID_ARGUMENT", "refused")
        if self.text == "odd":
            raise KeyError("nope")
        return 0.0

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def base(tmp_path) -> Path:
    Text.loaded.clear()
    (tmp_path / "m").mkdir()
    return tmp_path / "m"


@pytest.fixture
def push(base):
    def write(number: int, text: str = "good") -> Path:
        (base / str(number)).mkdir(exist_ok=True)
        (base / str(number) / "saved_model.pb").write_text(text)
        return base / str(number)

    return write


NEWEST = VersionPolicy()


def versions_of(base: Path, policy: VersionPolicy = NEWEST, labels=None, **settings) -> Versions:
    settings = {"poll_seconds": 1, "retries": 0, "retry_seconds": 0, **settings}
    return Versions({"m": ModelConfig("m", base, policy, labels or {})}, Metrics(), **settings)


def look(versions: Versions, times: int = 2) -> None:
    for _ in range(times):
        versions.look(Text)


def states(versions: Versions) -> dict[int, str]:
    return {number: state for number, state, _ in versions.status("m")}


def served(versions: Versions, *asked) -> int:
    with versions.use("m", *asked) as version:
        assert version.model is not None
        assert not version.model.closed
        return version.number


def test_the_newest_is_served_and_the_old_one_closed(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    assert served(versions) == 1
    push(2)
    look(versions, 1)
    assert served(versions) == 1, "a version is left alone until two looks find the same in it"
    look(versions, 1)
    assert served(versions) == 2
    assert states(versions) == {2: "AVAILABLE", 1: "END"}
    assert [model.closed for model in Text.loaded] == [True, False]


@pytest.mark.parametrize(
    "policy, wanted",
    [
        (VersionPolicy(), {10}),
        (VersionPolicy(latest=2), {10, 9}),
        (VersionPolicy(all=True), {1, 9, 10}),
        (VersionPolicy(specific=(1, 9, 77)), {1, 9}),
    ],
)
def test_policies(base, push, policy, wanted):
    for number in (1, 9, 10):
        push(number)
    (base / "tmp.11").mkdir()
    (base / "12").write_text("a file")
    versions = versions_of(base, policy)
    look(versions)
    assert {number for number, state in states(versions).items() if state == "AVAILABLE"} == wanted


def test_a_version_that_is_being_copied_is_left_alone(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    path = push(2)
    for size in range(1, 4):
        (path / "variables").write_bytes(b"x" * size)
        look(versions, 1)
        assert states(versions) == {2: "LOADING", 1: "AVAILABLE"}
    look(versions, 1)
    assert served(versions) == 2


def test_a_broken_version_is_told_and_the_old_one_goes_on(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    for text in ("broken", "cold", "odd"):
        push(2, text)
        look(versions, 3)
        assert served(versions) == 1
        (told,) = versions.status("m", 2)
        assert told[1] == "END"
        assert told[2] is not None
        with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
            served(versions, 2)
    assert Text.loaded[-1].closed, "what could not be warmed is closed"
    push(2)
    look(versions)
    assert served(versions) == 2, "files that change are tried again"


def test_loading_is_tried_again(base, push):
    push(1, "broken")
    versions = versions_of(base, retries=2)
    look(versions, 3)
    assert states(versions) == {1: "LOADING"}
    look(versions, 1)
    assert states(versions) == {1: "END"}


def test_loading_is_not_tried_again_at_once(base, push):
    push(1, "broken")
    versions = versions_of(base, retries=1, retry_seconds=3600)
    look(versions, 5)
    assert states(versions) == {1: "LOADING"}


def test_a_version_that_is_removed_gives_way_to_the_one_before(base, push):
    push(1)
    push(2)
    versions = versions_of(base)
    look(versions)
    assert served(versions) == 2
    shutil.rmtree(base / "2")
    look(versions, 1)
    assert served(versions) == 2, "until the other one is there"
    look(versions, 1)
    assert served(versions) == 1
    push(2)
    look(versions)
    assert served(versions) == 2


def test_what_serves_goes_on_without_its_base_path_and_ends_without_its_directory(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    base.rename(base.with_name("away"))
    look(versions)
    assert served(versions) == 1
    base.mkdir()
    look(versions)
    assert states(versions) == {1: "END"}
    assert Text.loaded[0].closed


def test_a_request_keeps_its_version(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    with versions.use("m") as version:
        push(2)
        look(versions, 3)
        assert version.model is not None
        assert not version.model.closed
        assert states(versions) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert served(versions) == 2
    look(versions, 1)
    assert Text.loaded[0].closed
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


def test_a_version_that_comes_back_before_it_was_closed_is_not_loaded_again(base, push):
    push(1)
    versions = versions_of(base)
    look(versions)
    with versions.use("m"):
        push(2)
        look(versions)
        shutil.rmtree(base / "2")
        look(versions)
        assert served(versions) == 1
        assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert len(Text.loaded) == 2


def test_an_old_version_goes_on_until_all_that_are_to_replace_it_serve(base, push):
    push(1)
    versions = versions_of(base, VersionPolicy(latest=2))
    look(versions)
    push(2)
    push(3, "broken")
    look(versions, 3)
    assert states(versions) == {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"}
    push(3)
    look(versions)
    assert states(versions) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}


def test_labels(base, push):
    push(1)
    push(3)
    both = VersionPolicy(specific=(1, 3))
    with pytest.raises(ServingError, match="assign label to version 1 of model m, which is not currently available"):
        versions_of(base, both, {"stable": 1})
    versions = versions_of(base, both, {"stable": 1}, label_unavailable=True)
    look(versions)
    assert served(versions, None, "stable") == 1
    with pytest.raises(ServingError, match="Unrecognized servable version label: nope"):
        served(versions, None, "nope")


@pytest.fixture
def running(base):
    threads = []

    def begin(versions: Versions) -> Versions:
        thread = threading.Thread(target=versions.run, args=(Text,))
        thread.start()
        threads.append((versions, thread))
        return versions

    yield begin
    for versions, thread in threads:
        versions.stop()
        thread.join()


def test_a_reload(base, push, running):
    push(1)
    push(3)
    versions = running(versions_of(base, VersionPolicy(specific=(1,)), poll_seconds=0.05))
    config = ModelConfig("m", base, VersionPolicy(specific=(1, 3)), {"stable": 3})
    versions.reload({"m": config})
    assert served(versions, None, "stable") == 3, "a label may be given to what the reload adds"
    moved = ModelConfig("m", base, config.policy, {"stable": 9})
    with pytest.raises(ServingError, match="label to version 9"):
        versions.reload({"m": moved})
    assert served(versions, None, "stable") == 3
    versions.reload({})
    assert set(states(versions).values()) == {"END"}


def test_a_label_that_is_there_is_not_moved_to_what_does_not_serve(base, push, running):
    push(1)
    versions = running(versions_of(base, poll_seconds=0.05, label_unavailable=True))
    versions.reload({"m": ModelConfig("m", base, NEWEST, {"stable": 1})})
    versions.reload({"m": ModelConfig("m", base, NEWEST, {"stable": 1, "next": 2})})
    with pytest.raises(ServingError, match="label to version 9"):
        versions.reload({"m": ModelConfig("m", base, NEWEST, {"stable": 9})})
    assert served(versions, None, "stable") == 1


def test_what_was_replaced_is_closed_when_its_last_request_ends_though_nobody_looks(base, push, running):
    push(1)
    push(2)
    versions = running(versions_of(base, VersionPolicy(specific=(1,)), poll_seconds=0))
    while not versions.ready():
        time.sleep(0.01)
    with versions.use("m"):
        versions.reload({"m": ModelConfig("m", base, VersionPolicy(specific=(2,)))})
        assert states(versions) == {2: "AVAILABLE", 1: "UNLOADING"}
        time.sleep(1.5)  # longer than between looks at what is not settled
    deadline = time.monotonic() + 10
    while not Text.loaded[0].closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Text.loaded[0].closed


def test_a_reload_that_fails_changes_nothing(base, push, running):
    for number in (1, 2, 3):
        push(number)
    policy, other = VersionPolicy(specific=(1, 2)), VersionPolicy(specific=(3,))
    versions = running(versions_of(base, policy, poll_seconds=0.05))
    versions.reload({"m": ModelConfig("m", base, policy, {"stable": 1})})
    ghost = ModelConfig("ghost", base / "ghost")
    bad = [
        ({"ghost": ghost}, r"1 model.s. did not become available: \{\{name: ghost}"),
        ({"m": ModelConfig("m", base, other), "ghost": ghost}, "name: ghost"),
        ({"m": ModelConfig("m", base, other, {"stable": 9})}, "label to version 9"),
        ({"m": ModelConfig("m", base, other, {"stable": 1})}, "label to version 1"),
    ]
    for models, says in bad:
        with pytest.raises(ServingError, match=says):
            versions.reload(models)
        assert versions.names() == ["m"]
        assert states(versions) in (
            {2: "AVAILABLE", 1: "AVAILABLE"},
            {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"},
        ), "what was loaded for it is closed"
        assert served(versions, None, "stable") == 1


def test_a_reload_waits_for_a_model_that_is_being_loaded(base, push):
    class Slow(Text):
        def __init__(self, path: Path):
            time.sleep(0.5)
            super().__init__(path)

    push(1)
    versions = Versions({}, Metrics(), poll_seconds=0.05, retries=0, retry_seconds=0)
    thread = threading.Thread(target=versions.run, args=(Slow,))
    thread.start()
    try:
        versions.reload({"m": ModelConfig("m", base, NEWEST, {"stable": 1})})
        assert served(versions, None, "stable") == 1
    finally:
        versions.stop()
        thread.join()


def test_what_is_wrong_with_one_model_does_not_hold_up_the_others(base, push, monkeypatch):
    push(1)
    odd = base.with_name("odd")
    shutil.copytree(base, odd)
    models = {"odd": ModelConfig("odd", odd), "m": ModelConfig("m", base)}
    versions = Versions(models, Metrics(), poll_seconds=1, retries=0, retry_seconds=0)
    look(versions)
    monkeypatch.setattr(Text.loaded[0], "close", lambda: 1 / 0, raising=True)
    for folder in (odd, base):
        shutil.copytree(folder / "1", folder / "2")
    look(versions, 3)
    assert served(versions) == 2


def test_everything_is_closed_at_the_end(base, push):
    push(1)
    versions = versions_of(base, poll_seconds=0.01)
    thread = threading.Thread(target=versions.run, args=(Text,))
    thread.start()
    while not versions.ready():
        time.sleep(0.01)
    versions.stop()
    thread.join(10)
    assert Text.loaded[0].closed
