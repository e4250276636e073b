"""What `tailgan clean` removes from a root, and how; `retention` of a configuration does the same after a run.

What is in use is read from TFX's metadata store: the executions of the newest runs, the push of each served version,
and all that these were made from. On a cluster, nothing is removed while a run is under way. An artifact is marked in
the store before its files go, and files are renamed out of the way before they are removed, so that nothing half
removed is taken for whole, and the next clean finishes a killed one. Needs neither TFX nor TensorFlow.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.served import best_served, what_serves
from models import versions
from models.files import is_locked
from pipeline import lock, metadata, scratch, stored_runs
from pipeline import root as root_directory
from pipeline.config import ConfigError
from pipeline.in_use import History, under_way

ARTIFACTS, CHECKPOINTS, LOGS, VERSIONS, LEFTOVERS = "artifacts", "checkpoints", "logs", "pushed versions", "leftovers"
CACHE = "cache"
KINDS = (ARTIFACTS, CHECKPOINTS, VERSIONS, LOGS, CACHE, LEFTOVERS)
FOLDERS = ("artifacts", "cache", "checkpoints", "logs", "serving")
REMOVED = ".tmp-removed-"
# Nobody is at work, so whatever is temporary was left by one that was killed.
TEMPORARY = (
    f"artifacts/*/*/{REMOVED}*",
    f"checkpoints/{REMOVED}*",
    f"serving/*/{REMOVED}*",
    "artifacts.old-*",  # of a metadata store that is no more
    "artifacts/*/.system/executor_execution/*/.temp",
    "artifacts/*/.system/stateful_working_dir/*",
    "artifacts/*/*/*/.tmp*",
    "cache/features/.*",
    "serving/*/.incoming",
    scratch.FOLDER,
)
OUTPUTS = "artifacts/*/[!.]*/[!.]*"  # node, output, execution
CACHED = "cache/features/[!.]*"

_ARTIFACT, _EXECUTION = metadata_store_pb2.Artifact, metadata_store_pb2.Execution
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
class Site:
    """Where to clean.

    Attributes:
      root: absolute; locked.
      store: the metadata store of its runs.
      is_shared: whether it is the store of a cluster: tasks may be at work, and other roots have their runs there.
    """

    root: Path
    store: metadata_store.MetadataStore
    is_shared: bool = False

    def runs(self) -> list[Any]:
        """Contexts of the root's runs, oldest first; on a cluster, a root has the name of its pipeline."""
        return stored_runs.contexts(self.store, self.root.name if self.is_shared else None)

    def run_under_way(self) -> str | None:
        """Id of a run of the root that has not ended; a local one would have the lock."""
        return under_way(self.store, self.runs()) if self.is_shared else None


@dataclass(frozen=True)
class Plan:
    """What goes and what stays.

    Attributes:
      site: where.
      goes: in the order of removal.
      stays: the rest, of the same kinds.
      artifacts: those whose files go, as the metadata store knows them.
      waits_for: id of the run that is under way, so that nothing goes.
    """

    site: Site
    goes: list[Item]
    stays: list[Item]
    artifacts: list[Any]
    waits_for: str | None = None

    @property
    def bytes(self) -> int:
        """What removal frees."""
        return sum(item.bytes for item in self.goes)


@contextmanager
def opened(root: Path) -> Iterator[Site]:
    """A root and the metadata store that the environment names, or else its own; no other clean or local run is there.

    Raises:
      ConfigError: if this is no root, its store cannot be read or knows nothing of it, or a run is at work.
    """
    is_shared = bool(os.environ.get(metadata.URI))
    if not is_shared and not (root / root_directory.METADATA_STORE).is_file():
        raise ConfigError(f"{root}: no root of tailgan, because there is no {root_directory.METADATA_STORE}")
    if not root.is_dir():
        raise ConfigError(f"{root}: no such directory")
    with lock.locked(root):
        if is_shared:
            root_directory.known(root)
            # Not resolved: artifacts have the paths by which tasks see the volume.
            site = Site(root.absolute(), metadata_store.MetadataStore(metadata.connect()), True)
            if not any(artifact.uri.startswith(f"{site.root}/") for artifact in site.store.get_artifacts()):
                raise ConfigError(
                    f"{root}: the metadata store that {metadata.URI} names knows nothing of it; without that variable, "
                    "a root's own store is taken"
                )
        else:
            root_directory.check_readable(root)
            site = own(root.resolve())
        yield site


def own(root: Path) -> Site:
    """A root with a metadata store of its own.

    Raises:
      ConfigError: if the store cannot be opened.
    """
    path = root / root_directory.METADATA_STORE
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
    try:
        return Site(root, metadata_store.MetadataStore(connection))
    except RuntimeError as error:
        message = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: no metadata store, or a damaged one: {message}") from None


def plan(site: Site, keep: int) -> Plan:
    """What may be removed so that the newest runs, those at work and what serves stay whole.

    Args:
      site: see `opened`.
      keep: how many runs stay, and how many pushed versions of each name; at least 1.

    Raises:
      ConfigError: if the store knows no run, so that nothing tells what is in use.
    """
    root, store = site.root, site.store
    runs = site.runs()
    if not runs:
        raise ConfigError(f"{root}: no run here")
    if waits_for := site.run_under_way():
        return Plan(site, [], [Item(kind, path, _bytes(path)) for kind, path in _all(root)], [], waits_for)
    newest = runs[-keep:]
    since = min(run.create_time_since_epoch for run in newest)
    history = History.read(store)
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
    goes += [(CHECKPOINTS, path) for path in _old_checkpoints(root, kept_uris, since)]
    goes += [(VERSIONS, path) for path in _old_versions(root, keep)]
    goes += [(LOGS, path) for path in _last_used_before(root.glob("logs/*.log"), since)]
    goes += [(CACHE, path) for path in _last_used_before(root.glob(CACHED), since)]
    goes = [(kind, path) for kind, path in goes if _is_ours(root, path)]
    gone = {path for _, path in goes}
    stays = [(kind, path) for kind, path in _all(root) if path not in gone]
    return Plan(
        site,
        [Item(kind, path, _bytes(path)) for kind, path in goes],
        [Item(kind, path, _bytes(path)) for kind, path in stays],
        [old[str(path)] for path in outputs if path in gone],
    )


def _is_ours(root: Path, path: Path) -> bool:
    """Whether a path lies in a known folder of the root, and no symbolic link leads from there to it or is it."""
    below = path.relative_to(root)
    folder = below.parts[0]
    return (folder in FOLDERS or folder.startswith("artifacts.old-")) and path.resolve() == root.resolve() / below


def _served_pushes(root: Path, store: Any) -> Iterator[int]:
    """Ids of the artifacts that the Pusher put out for the versions that serve now."""
    served = {(base.name, str(now.version)) for base in root.glob("serving/*") if (now := what_serves(str(base)))}
    for artifact in store.get_artifacts_by_type("PushedModel"):
        destination = artifact.custom_properties["pushed_destination"].string_value
        if Path(destination).parts[-2:] in served:
            yield artifact.id


def _leftovers(root: Path, history: History, known: set[str]) -> Iterator[tuple[str, Path]]:
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


def _old_checkpoints(root: Path, kept_uris: set[str], since: int) -> Iterator[Path]:
    """Checkpoints that no generator which stays came from, nor one that serves, and that no kept run has written."""
    exported = [Path(uri) / "Format-Serving" for uri in kept_uris]
    exported += [Path(now.path) for base in root.glob("serving/*") if (now := what_serves(str(base)))]
    named = set(map(versions.training, exported))
    for path in root.glob("checkpoints/[!.]*"):
        written = max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) * 1000
        if path.is_dir() and path.name not in named and written < since and not is_locked(path):
            yield path


def _old_versions(root: Path, keep: int) -> Iterator[Path]:
    """Versions below the newest `keep` complete ones of each name, but for the best."""
    for base in root.glob("serving/[!.]*"):
        complete = sorted(versions.complete(base))
        best = best_served(str(base))
        for path in base.glob("*") if complete else ():
            is_old = path.name.isdecimal() and int(path.name) < complete[-keep:][0]
            is_best = best is not None and path.name.isdecimal() and int(path.name) == best.version
            if is_old and not is_best:
                yield path


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


def remove(plan: Plan) -> None:
    """Does what was planned; can be killed anywhere, and the next plan holds the rest.

    Raises:
      ConfigError: if a run has begun since it was planned; nothing is removed then.
    """
    _mark(plan.site.store, plan.artifacts, _ARTIFACT.DELETED)
    # A run that begins from here on finds none of these in TFX's cache; one that has begun may have found them.
    if begun := plan.site.run_under_way():
        _mark(plan.site.store, plan.artifacts, _ARTIFACT.LIVE)
        raise ConfigError(f"{plan.site.root}: run {begun} has begun; nothing was removed")
    for item in plan.goes:
        if not _is_ours(plan.site.root, item.path):  # changed since it was planned
            continue
        if item.path.is_dir():
            shutil.rmtree(item.path if item.kind == LEFTOVERS else _out_of_the_way(item.path))
        else:
            item.path.unlink(missing_ok=True)


def _mark(store: Any, artifacts: list[Any], state: Any) -> None:
    """Gives all these artifacts a state at once; TFX forgets those that are DELETED."""
    for artifact in artifacts:
        artifact.state = state
    if artifacts:
        store.put_artifacts(artifacts)


def _out_of_the_way(path: Path) -> Path:
    return path.rename(path.parent / f"{REMOVED}{path.name}")
