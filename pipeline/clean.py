"""What `tailgan clean` removes from a root, and how.

What is in use is read from TFX's metadata store: the executions of the newest runs, the push of each served version,
and all that these were made from. An artifact is marked in the store before its files go, and files are renamed out of
the way before they are removed, so that nothing half removed is taken for whole, and the next clean finishes a killed
one. Needs neither TFX nor TensorFlow.
"""

import shutil
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.served import what_serves
from pipeline import lock, scratch
from pipeline.config import ConfigError
from pipeline.root import check_readable

ARTIFACTS, CHECKPOINTS, LOGS, VERSIONS, LEFTOVERS = "artifacts", "checkpoints", "logs", "pushed versions", "leftovers"
CACHE = "cache"
KINDS = (ARTIFACTS, CHECKPOINTS, VERSIONS, LOGS, CACHE, LEFTOVERS)
FOLDERS = ("artifacts", "cache", "checkpoints", "logs", "serving")
# No run is at work while the lock is held, so whatever is temporary was left by one that was killed.
TEMPORARY = (
    "artifacts/*/.system/executor_execution/*/.temp",
    "artifacts/*/.system/stateful_working_dir/*",
    "artifacts/*/*/.tmp*",
    "artifacts/*/*/*/.tmp*",
    "checkpoints/.tmp*",
    "cache/features/.*",
    "serving/*/.tmp*",
    "serving/*/.incoming",
    scratch.FOLDER,
    "artifacts.old-*",  # of a metadata store that is no more
)
OUTPUTS = "artifacts/*/[!.]*/[!.]*"  # node, output, execution
CACHED = "cache/features/[!.]*"
REMOVED = ".tmp-removed-"

_ARTIFACT, _EXECUTION = metadata_store_pb2.Artifact, metadata_store_pb2.Execution
_OUTPUT = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_DONE = (_EXECUTION.COMPLETE, _EXECUTION.CACHED)
# TFX takes nothing for a cache hit that is not LIVE. What is in any other state is not ours to judge.
_OURS = (_ARTIFACT.LIVE, _ARTIFACT.MARKED_FOR_DELETION, _ARTIFACT.DELETED)


@dataclass(frozen=True)
class Item:
    """A file or directory of a root: what kind it is of, and how much of the disk it takes."""

    kind: str
    path: Path
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What goes and what stays.

    Attributes:
      root: resolved.
      goes: in the order of removal.
      stays: the rest, of the same kinds.
      artifacts: those whose files go, as the metadata store knows them.
    """

    root: Path
    goes: list[Item]
    stays: list[Item]
    artifacts: list[Any]

    @property
    def bytes(self) -> int:
        """What removal frees."""
        return sum(item.bytes for item in self.goes)


@contextmanager
def opened(root: Path) -> Iterator[metadata_store.MetadataStore]:
    """The metadata store of a root, while no run can be at work there.

    Raises:
      ConfigError: if this is no root, its store cannot be read, or a run is at work.
    """
    path = root / "metadata.db"
    if not path.is_file():
        raise ConfigError(f"{root}: no root of tailgan, because there is no {path.name}")
    with lock.locked(root):
        check_readable(root)
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(path)
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
        try:
            store = metadata_store.MetadataStore(connection)
        except RuntimeError as error:
            message = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: no metadata store, or a damaged one: {message}") from None
        yield store


@dataclass(frozen=True)
class _History:
    """The executions of a store and what went through them.

    Attributes:
      executions: by id.
      inputs, outputs: {execution id: artifact ids}.
      maker: {artifact id: id of the execution that first put it out}; a cached one puts it out again.
    """

    executions: dict[int, Any]
    inputs: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    outputs: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    maker: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Any) -> "_History":
        history = cls({execution.id: execution for execution in store.get_executions()})
        events = store.get_events_by_execution_ids(list(history.executions)) if history.executions else []
        for event in sorted(events, key=lambda event: event.execution_id):
            put_out = event.type in _OUTPUT
            (history.outputs if put_out else history.inputs)[event.execution_id].add(event.artifact_id)
            if put_out:
                history.maker.setdefault(event.artifact_id, event.execution_id)
        return history

    def with_makers(self, executions: Iterable[int]) -> set[int]:
        """These executions and all that made what they used or put out, back to the first."""
        reached, open_ends = set(), list(executions)
        while open_ends:
            execution = open_ends.pop()
            if execution not in reached:
                reached.add(execution)
                artifacts = self.inputs[execution] | self.outputs[execution]
                open_ends.extend(self.maker[each] for each in artifacts if each in self.maker)
        return reached

    def artifacts(self, executions: Iterable[int]) -> set[int]:
        """Ids of the artifacts that these used or put out."""
        return {artifact for each in executions for artifact in self.inputs[each] | self.outputs[each]}

    def at_work(self, milliseconds: float) -> int | None:
        """The execution that had last begun at a time; the runs of a root follow one another."""
        begun = sorted((each.create_time_since_epoch, each.id) for each in self.executions.values())
        place = bisect_right(begun, (milliseconds, float("inf")))
        return begun[place - 1][1] if place else None


def plan(root: Path, store: Any, keep: int) -> Plan:
    """What may be removed so that the newest runs and what serves stay whole.

    Args:
      root: resolved; locked.
      store: its metadata store.
      keep: how many runs stay, and how many pushed versions of each name; at least 1.

    Raises:
      ConfigError: if the store knows no run, so that nothing tells what is in use.
    """
    runs = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: (run.create_time_since_epoch, run.id))
    if not runs:
        raise ConfigError(f"{root}: no run here")
    newest = runs[-keep:]
    history = _History.read(store)
    used = history.with_makers(
        {execution.id for run in newest for execution in store.get_executions_by_context(run.id)}
        | {history.maker[push] for push in _served_pushes(root, store) if push in history.maker}
    )
    artifacts = store.get_artifacts()
    kept = history.artifacts(used)
    kept_uris = {a.uri for a in artifacts if a.id in kept or a.state not in _OURS}
    old = {a.uri: a for a in artifacts if a.uri not in kept_uris}

    goes = [*_leftovers(root, history, {a.uri for a in artifacts})]
    outputs = [path for path in root.glob(OUTPUTS) if str(path) in old]
    goes += [(ARTIFACTS, path) for path in outputs]
    goes += [(CHECKPOINTS, path) for path in _old_checkpoints(root, history, used)]
    goes += [(VERSIONS, path) for path in _old_versions(root, keep)]
    since = newest[0].create_time_since_epoch
    goes += [(LOGS, path) for path in _last_used_before(root.glob("logs/*.log"), since)]
    goes += [(CACHE, path) for path in _last_used_before(root.glob(CACHED), since)]
    goes = [(kind, path) for kind, path in goes if _is_ours(root, path)]
    gone = {path for _, path in goes}
    stays = [(kind, path) for kind, path in _all(root) if path not in gone]
    return Plan(
        root,
        [Item(kind, path, _bytes(path)) for kind, path in goes],
        [Item(kind, path, _bytes(path)) for kind, path in stays],
        [old[str(path)] for path in outputs if path in gone],
    )


def _is_ours(root: Path, path: Path) -> bool:
    """Whether a path lies in a known folder of the root, and no symbolic link leads to it or is it."""
    folder = path.relative_to(root).parts[0]
    return (folder in FOLDERS or folder.startswith("artifacts.old-")) and path.resolve() == path


def _served_pushes(root: Path, store: Any) -> Iterator[int]:
    """Ids of the artifacts that the Pusher put out for the versions that serve now."""
    served = {(base.name, str(now.version)) for base in root.glob("serving/*") if (now := what_serves(str(base)))}
    for artifact in store.get_artifacts_by_type("PushedModel"):
        destination = artifact.custom_properties["pushed_destination"].string_value
        if Path(destination).parts[-2:] in served:
            yield artifact.id


def _leftovers(root: Path, history: _History, known: set[str]) -> Iterator[tuple[str, Path]]:
    """What is temporary, and what executions that did not end had begun to write."""
    unfinished = [
        path
        for path in root.glob(OUTPUTS)
        if path.name.isdecimal()
        and str(path) not in known
        and int(path.name) in history.executions
        and history.executions[int(path.name)].last_known_state not in _DONE
    ]
    temporary = {path for pattern in TEMPORARY for path in root.glob(pattern) if path.parent not in unfinished}
    for path in [*unfinished, *sorted(temporary)]:
        yield LEFTOVERS, path


def _old_checkpoints(root: Path, history: _History, used: set[int]) -> Iterator[Path]:
    """Checkpoints last written by an execution that is not in use."""
    for path in root.glob("checkpoints/[!.]*"):
        writer = history.at_work(max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) * 1000)
        if path.is_dir() and writer is not None and writer not in used:
            yield path


def _old_versions(root: Path, keep: int) -> Iterator[Path]:
    """Versions below the newest `keep` complete ones of each name."""
    for base in root.glob("serving/[!.]*"):
        versions = [path for path in base.glob("*") if path.name.isdecimal()]
        complete = sorted(int(path.name) for path in versions if (path / "saved_model.pb").is_file())
        yield from (path for path in versions if complete and int(path.name) < complete[-keep:][0])


def _last_used_before(paths: Iterable[Path], since: int) -> Iterator[Path]:
    """Files whose time, in milliseconds, is before another; a log is written, and what is kept of images is touched."""
    return (path for path in paths if path.lstat().st_mtime * 1000 < since)


def _all(root: Path) -> Iterator[tuple[str, Path]]:
    """Everything of the kinds that may be removed."""
    patterns = ((ARTIFACTS, OUTPUTS), (CHECKPOINTS, "checkpoints/[!.]*"), (LOGS, "logs/*.log"), (CACHE, CACHED))
    for kind, pattern in (*patterns, (VERSIONS, "serving/[!.]*/[!.]*/")):  # the history is no version
        for path in root.glob(pattern):
            yield kind, path


def _bytes(path: Path) -> int:
    """What a file, or a directory with all that is in it, takes on the disk."""
    return sum(each.lstat().st_blocks * 512 for each in (path, *path.rglob("*")))


def remove(plan: Plan, store: Any) -> None:
    """Does what was planned; can be killed anywhere, and the next plan holds the rest."""
    _mark_deleted(store, plan.artifacts)
    for item in plan.goes:
        if not _is_ours(plan.root, item.path):  # changed since it was planned
            continue
        if item.path.is_dir():
            shutil.rmtree(item.path if item.kind == LEFTOVERS else _out_of_the_way(item.path))
        else:
            item.path.unlink(missing_ok=True)


def _mark_deleted(store: Any, artifacts: list[Any]) -> None:
    """Makes TFX forget these artifacts, all at once."""
    for artifact in artifacts:
        artifact.state = _ARTIFACT.DELETED
    if artifacts:
        store.put_artifacts(artifacts)


def _out_of_the_way(path: Path) -> Path:
    return path.rename(path.parent / f"{REMOVED}{path.name}")


def size(bytes: int) -> str:
    """A size as a person reads it.

    >>> size(1_230_000_000), size(45_600_000), size(7_000)
    ('1.2 GB', '45.6 MB', '7.0 kB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if bytes >= unit:
            return f"{bytes / unit:.1f} {name}"
    return f"{bytes / 1000:.1f} kB"


def summary(plan: Plan) -> str:
    """What goes and what stays, as a table."""
    goes, stays = (_by_kind(items) for items in (plan.goes, plan.stays))
    lines = [f"{plan.root}", f"{'':<16}{'goes':>6}{'':>12}{'stays':>8}"]
    for kind in KINDS:
        (gone, gone_bytes), (left, left_bytes) = goes[kind], stays[kind]
        lines.append(f"{kind:<16}{gone:>6}{size(gone_bytes):>12}{left:>8}{size(left_bytes):>12}")
    left_bytes = sum(item.bytes for item in plan.stays)
    lines.append(f"{'total':<16}{len(plan.goes):>6}{size(plan.bytes):>12}{len(plan.stays):>8}{size(left_bytes):>12}")
    return "\n".join(lines)


def _by_kind(items: Iterable[Item]) -> dict[str, tuple[int, int]]:
    """{kind: (count, bytes)}."""
    totals = dict.fromkeys(KINDS, (0, 0))
    for item in items:
        count, total = totals[item.kind]
        totals[item.kind] = count + 1, total + item.bytes
    return totals
