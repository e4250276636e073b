"""What of a root is in use, as TFX's metadata store tells it. Needs neither TFX nor TensorFlow."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from pipeline import stored_runs

_EXECUTION = metadata_store_pb2.Execution
_OUTPUT = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
AT_WORK = (_EXECUTION.NEW, _EXECUTION.RUNNING)
# A run of a cluster that has not come to its end is taken for one under way so long after it began: between two tasks
# nothing in the store tells it from one that was given up.
_LONGEST = 7 * 24 * 3600 * 1000


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

    def at_work(self) -> set[int]:
        """Executions that run, or that were killed and never started again: the store cannot tell."""
        return {each.id for each in self.executions.values() if each.last_known_state in AT_WORK}


@dataclass(frozen=True)
class Kept:
    """What the newest runs, and those under way, hold on to.

    Attributes:
      executions: theirs.
      since: when the first of these runs began, in milliseconds.
    """

    executions: set[int]
    since: int


def kept_runs(store: Any, runs: list[Any], keep: int, is_shared: bool) -> Kept:
    """The newest runs, and where tasks of a cluster may be at work, those that have not come to their end.

    Args:
      store: of the metadata.
      runs: contexts of the root's runs, oldest first; at least one.
      keep: how many of them are kept.
      is_shared: whether tasks of a cluster may be at work.
    """
    chosen = runs[-keep:]
    if is_shared:
        recent = time.time() * 1000 - _LONGEST
        chosen += [
            run
            for run in runs[:-keep]
            if run.create_time_since_epoch > recent and not stored_runs.is_finished(store, run)
        ]
    executions = {execution.id for run in chosen for execution in store.get_executions_by_context(run.id)}
    return Kept(executions, min(run.create_time_since_epoch for run in chosen))
