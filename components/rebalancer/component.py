"""The Rebalancer, as a TFX component."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.rebalancer import executor


class RebalancerSpec(component_spec.ComponentSpec):
    """Interface of the Rebalancer."""

    PARAMETERS = {
        "options": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {"source": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "hyperparameters": component_spec.ChannelParameter(type=standard_artifacts.HyperParameters),
    }


class Rebalancer(base_beam_component.BaseBeamComponent):
    """Decides how often each class is seen in training, and with which loss weight.

    Args:
      examples: Examples, not rebalanced yet.
      options: RebalanceOptions as JSON.
      code_version: hash of the sources behind this component; part of the cache key, nothing else.
    """

    SPEC_CLASS = RebalancerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, examples: BaseChannel, options: str, code_version: str):
        super().__init__(
            RebalancerSpec(
                source=examples,
                options=options,
                code_version=code_version,
                examples=Channel(type=standard_artifacts.Examples),
                hyperparameters=Channel(type=standard_artifacts.HyperParameters),
            )
        )
