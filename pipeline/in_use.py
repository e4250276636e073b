"""What of a root is in use, as TFX's metadata store tells it. Needs neither TFX nor TensorFlow."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from pipeline import stored_runs

_OUTPUT = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_LONGEST = 7 * 24 * 3600 * 1000  # milliseconds


@dataclass(frozen=True)
class History:
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
    def read(cls, store: Any) -> "History":
        """All that a store knows."""
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


def under_way(store: Any, runs: list[Any]) -> str | None:
    """Id of a run of a cluster that has not come to its end, the newest; None if there is none.

    One that began more than a week ago is taken for given up: nothing in the store tells it from one between two tasks,
    or one with a task that failed and is about to be tried again.

    Args:
      store: of the metadata.
      runs: contexts of the root's runs.
    """
    recent = time.time() * 1000 - _LONGEST
    unfinished = (
        run.name
        for run in reversed(runs)
        if run.create_time_since_epoch > recent and not stored_runs.is_finished(store, run)
    )
    return next(unfinished, None)
