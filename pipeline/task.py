"""One task of a cluster: launches one node of a graph that the image holds."""

import gc
import logging
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipeline import faults, graph, metadata
from pipeline import root as root_directory
from pipeline.beam_options import host_and_port, job_endpoint
from pipeline.config import ConfigError
from pipeline.display import log_everything
from pipeline.network import reach

if TYPE_CHECKING:
    from pipeline.node import NodeResult


class TaskFailed(Exception):
    """The node did not complete; the message is the one sentence that a person reads."""


def run(ir: Path, sha256: str, node_id: str, run_id: str) -> "NodeResult":
    """Launches a node and waits for it; again in the same run, it goes on or finds that it is done.

    What can be wrong is looked at before TFX is loaded, which takes as long as many a node.

    Args:
      ir: the compiled graph.
      sha256: of that file, as it was when the pipeline was compiled.
      node_id: one of its nodes; those that it depends on have completed in this run.
      run_id: of the run, the same for all its tasks.

    Raises:
      ConfigError: if the node was not launched: another graph, no such node, root, metadata store or job
        server of Beam not usable.
      TaskFailed: if it did not complete.
    """
    text = graph.read(ir, sha256)
    known = graph.node_ids(text)
    if node_id not in known:
        raise ConfigError(f"--node-id {node_id}: no such node; {ir} has {', '.join(known)}")
    root = graph.root(text)
    root_directory.make(root)
    root_directory.check_format(root)
    connection = metadata.connect()
    if not metadata.knows(connection, graph.pipeline_name(text)):
        root_directory.set_aside_artifacts(root)
    _look_for_job_server(graph.beam_args(text, node_id))

    node = load_launcher()
    log_everything()
    try:
        return node.launch(node.with_run_id(node.from_json(text), run_id), node_id, connection)
    except (node.NodeFailed, OSError) as failure:
        logging.getLogger().exception("the node failed")
        raise TaskFailed(faults.explain(failure, root)) from failure


def _look_for_job_server(args: list[str]) -> None:
    """Looks whether the engine that would run a node's Beam pipelines can be reached."""
    if endpoint := job_endpoint(args):
        try:
            reach(*host_and_port(endpoint)).close()
        except ConfigError as fault:
            raise ConfigError(f"job server: {fault}") from None


def load_launcher() -> ModuleType:
    """Imports `pipeline.node`, and with it TFX, TensorFlow and Beam.

    Of the million objects that come with them none becomes garbage: looking for some would take seconds, at the import
    and at the end of the process.
    """
    gc.disable()
    try:
        from pipeline import node
    finally:
        gc.enable()
    gc.freeze()
    return node
