"""The runs that a metadata store knows, of a root or of a cluster. Needs neither TFX nor TensorFlow."""

import datetime
from dataclasses import dataclass
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

# States as Kubeflow names them; the store cannot tell a run under way from one that was broken off.
SUCCEEDED, FAILED, UNFINISHED = "SUCCEEDED", "FAILED", "UNFINISHED"
_LAST = "PushedModel"  # what the last node puts out, whether it pushed or not


@dataclass(frozen=True)
class StoredRun:
    """A run; `name` is that of its pipeline, `created` is in UTC."""

    run_id: str
    name: str
    created: datetime.datetime
    state: str


def contexts(store: Any, pipeline: str | None = None) -> list[Any]:
    """Contexts of the runs, oldest first: of all of them, or of one pipeline."""
    if pipeline is None:
        found = store.get_contexts_by_type("pipeline_run")
    else:
        of_pipeline = store.get_context_by_type_and_name("pipeline", pipeline)
        kinds = {kind.id: kind.name for kind in store.get_context_types()}
        children = store.get_children_contexts_by_context(of_pipeline.id) if of_pipeline else ()
        found = [each for each in children if kinds[each.type_id] == "pipeline_run"]
    return sorted(found, key=lambda run: (run.create_time_since_epoch, run.id))


def is_finished(store: Any, run: Any) -> bool:
    """Whether a run has come to its end, given its context."""
    (last,) = [kind.id for kind in store.get_artifact_types() if kind.name == _LAST] or [None]
    return last is not None and any(each.type_id == last for each in store.get_artifacts_by_context(run.id))


def newest(connection: Any, count: int, pipeline: str | None = None) -> list[StoredRun]:
    """The newest runs, newest first; of one pipeline, if it is named. The connection is `pipeline.metadata`'s."""
    store = metadata_store.MetadataStore(connection)
    return [_described(store, run) for run in reversed(contexts(store, pipeline)[-count:])]


def _described(store: Any, run: Any) -> StoredRun:
    states = {each.last_known_state for each in store.get_executions_by_context(run.id)}
    if is_finished(store, run):
        state = SUCCEEDED
    else:
        state = FAILED if metadata_store_pb2.Execution.FAILED in states else UNFINISHED
    parents = store.get_parent_contexts_by_context(run.id)
    created = datetime.datetime.fromtimestamp(run.create_time_since_epoch / 1000, datetime.UTC)
    return StoredRun(run.name, parents[0].name if parents else "", created, state)
