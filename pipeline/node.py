"""Launches one node of a compiled pipeline, with TFX's own portable launcher.

A local run loops over `launch`; a task of a cluster calls it once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2

# The launcher must be imported before a pipeline is parsed: it registers the messages that the pipeline holds.
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.proto.orchestration import pipeline_pb2
from tfx.proto.orchestration.executable_spec_pb2 import BeamExecutableSpec

from pipeline.beam_options import PORTABLE

State = Literal["complete", "cached"]

# What the Pusher does depends on what lies in the serving directory, which no cache key sees.
NEVER_CACHED = ("Pusher",)


class NodeFailed(Exception):
    """A node did not complete; the cause is chained where there is one."""

    def __init__(self, node_id: str, message: str):
        super().__init__(message)
        self.node_id = node_id


@dataclass(frozen=True)
class NodeResult:
    """How a node ended.

    Attributes:
      state: `complete`, or `cached` when an earlier execution was re-used.
      outputs: {output name: uris}.
    """

    state: State
    outputs: dict[str, list[str]] = field(default_factory=dict)


def compile_pipeline(pipeline: Pipeline) -> pipeline_pb2.Pipeline:
    """The intermediate representation that nodes are launched from."""
    ir = compiler.Compiler().compile(pipeline)
    for node in ir.nodes:
        if node.pipeline_node.node_info.id in NEVER_CACHED:
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return ir


def to_json(ir: pipeline_pb2.Pipeline) -> bytes:
    """A compiled pipeline as text; equal pipelines give equal bytes."""
    text = json_format.MessageToJson(ir, preserving_proto_field_name=True, indent=None, sort_keys=True)
    return text.encode()


def from_json(text: bytes) -> pipeline_pb2.Pipeline:
    """The pipeline that `to_json` wrote."""
    return json_format.Parse(text, pipeline_pb2.Pipeline())


def with_run_id(ir: pipeline_pb2.Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """A copy of a compiled pipeline for one run."""
    copy = pipeline_pb2.Pipeline()
    copy.CopyFrom(ir)
    runtime_parameter_utils.substitute_runtime_parameter(copy, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return copy


def node_ids(ir: pipeline_pb2.Pipeline) -> list[str]:
    """Ids of the nodes, each after those it depends on."""
    return [node.pipeline_node.node_info.id for node in ir.nodes]


def sqlite(path: str) -> Any:
    """Connection to a metadata store in one file."""
    return metadata.sqlite_metadata_connection_config(path)


def launch(ir: pipeline_pb2.Pipeline, node_id: str, connection: Any) -> NodeResult:
    """Launches one node and waits for it.

    Args:
      ir: a compiled pipeline with a run id.
      node_id: one of its nodes, all of whose upstream nodes have completed in this run.
      connection: configuration of the connection to ML Metadata.

    Raises:
      NodeFailed: if the node did not complete. The launcher itself returns as if nothing had happened when inputs
        cannot be resolved, so the state in the metadata store decides.
    """
    node = next(n.pipeline_node for n in ir.nodes if n.pipeline_node.node_info.id == node_id)
    deployment = runner_utils.extract_local_deployment_config(ir)
    spec = runner_utils.extract_executor_spec(deployment, node_id)
    store = metadata.Metadata(connection)
    try:
        info = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=store,
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=_cache_key_spec(spec),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
            custom_executor_operators={
                BeamExecutableSpec: lambda executor_spec, platform_config: _beam_operator(spec, platform_config)
            },
        ).launch()
    except (Exception, SystemExit) as error:
        raise NodeFailed(node_id, str(error)) from error
    with store:
        executions = store.store.get_executions_by_id([info.execution_id]) if info.execution_id else []
        states = metadata_store_pb2.Execution
        done: dict[int, State] = {states.COMPLETE: "complete", states.CACHED: "cached"}
        state = done.get(executions[0].last_known_state) if executions else None
        if state is None:
            raise NodeFailed(
                node_id, "its inputs could not be resolved: an upstream node has not completed in this run"
            )
        outputs = _outputs(store.store, info.execution_id)
    return NodeResult(state, outputs)


def _cache_key_spec(spec: Any) -> Any:
    """An executor spec without Beam's arguments: how Beam runs changes no output, so it is no reason to run again.

    The spec that the launcher is given enters TFX's cache key; the operator that runs the executor has all of it.
    """
    if not isinstance(spec, BeamExecutableSpec):
        return spec
    return BeamExecutableSpec(python_executor_spec=spec.python_executor_spec)


class _InstalledOperator(BeamExecutorOperator):
    """Makes Beam's pipelines by itself, for workers that have tailgan installed.

    TFX's own operator has a copy of all of TFX packed for each, 40 MB in a temporary directory that stays. Workers that
    DirectRunner starts import what is installed here; those of an engine would need our components as well.
    """

    def __init__(self, spec: Any, platform_config: Any = None):
        super().__init__(_cache_key_spec(spec), platform_config)
        self._args = _beam_args(spec)

    def run_executor(self, execution_info: Any, make_beam_pipeline_fn: Callable | None = None) -> Any:
        return super().run_executor(execution_info, make_beam_pipeline_fn or (lambda: beam.Pipeline(argv=self._args)))


def _beam_operator(spec: Any, platform_config: Any) -> BeamExecutorOperator:
    """What runs a Beam executor; for runners that we know nothing of, TFX is sent unless their arguments forbid it."""
    runner = PipelineOptions(_beam_args(spec)).view_as(StandardOptions).runner
    is_known = runner in (None, "DirectRunner", PORTABLE)
    return (_InstalledOperator if is_known else BeamExecutorOperator)(spec, platform_config)


def _beam_args(spec: Any) -> list[str]:
    return [arg.value.string_value for arg in spec.beam_pipeline_args_placeholders]


def _outputs(store: Any, execution_id: int) -> dict[str, list[str]]:
    """Uris of the artifacts an execution put out, by output name; a cached one put out those of an earlier one."""
    outputs: dict[str, list[str]] = {}
    events = store.get_events_by_execution_ids([execution_id])
    uris = {artifact.id: artifact.uri for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    for event in events:
        if event.type == metadata_store_pb2.Event.OUTPUT:
            outputs.setdefault(event.path.steps[0].key, []).append(uris[event.artifact_id])
    return outputs
