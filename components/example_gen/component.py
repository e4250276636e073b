"""ExampleGen, as a TFX component."""

from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import Channel, component_spec, standard_artifacts

from components.driver import StateDriver
from components.example_gen import executor
from components.example_gen.options import DataOptions
from components.example_gen.sources import open_source


class Driver(StateDriver):
    """Looks at the source at launch, so that the cache key sees changed images."""

    def state(self, exec_properties: dict[str, Any]) -> dict[str, str]:
        source = open_source(DataOptions.model_validate_json(exec_properties["options"]))
        return {"source_fingerprint": source.fingerprint(), "span": str(source.span)}


class ExampleGenSpec(component_spec.ComponentSpec):
    """Interface of ExampleGen."""

    PARAMETERS = {
        "options": component_spec.ExecutionParameter(type=str),
        "source_fingerprint": component_spec.ExecutionParameter(type=str),
        "span": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class ExampleGen(base_beam_component.BaseBeamComponent):
    """Reads images of a source, brings them to one size, and splits them.

    Args:
      options: DataOptions as JSON.
      code_version: hash of the sources behind this component; part of the cache key, nothing else.
    """

    SPEC_CLASS = ExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = Driver

    def __init__(self, options: str, code_version: str):
        super().__init__(
            ExampleGenSpec(
                options=options,
                source_fingerprint="",
                span="",
                code_version=code_version,
                examples=Channel(type=standard_artifacts.Examples),
            )
        )
