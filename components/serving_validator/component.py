"""The ServingValidator, as a TFX component."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.serving_validator import executor


class ServingValidatorSpec(component_spec.ComponentSpec):
    """Interface of the ServingValidator."""

    PARAMETERS = {
        "options": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingValidator(base_component.BaseComponent):
    """Calls a generator in a server process and blesses it for the Pusher, or not.

    Args:
      model: the generator that the Trainer exported.
      model_blessing: what the Evaluator says of it; only what it blesses is called.
      options: ValidationOptions as JSON.
      code_version: hash of the sources behind this component and the server; part of the cache key, nothing else.
    """

    SPEC_CLASS = ServingValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, model: BaseChannel, model_blessing: BaseChannel, options: str, code_version: str):
        super().__init__(
            ServingValidatorSpec(
                model=model,
                model_blessing=model_blessing,
                options=options,
                code_version=code_version,
                blessing=Channel(type=standard_artifacts.InfraBlessing),
            )
        )
