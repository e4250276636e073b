"""The Evaluator of generators, as a TFX component."""

import json
from dataclasses import asdict
from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.driver import StateDriver
from components.evaluator import executor
from components.evaluator.served import what_serves


class Driver(StateDriver):
    """Reads what serves now, at launch, so that the cache key sees it and no path in the graph goes stale."""

    def state(self, exec_properties: dict[str, Any]) -> dict[str, str]:
        served = what_serves(exec_properties["serving_dir"])
        return {"served": json.dumps(asdict(served)) if served else ""}


class EvaluatorSpec(component_spec.ComponentSpec):
    """Interface of the Evaluator."""

    PARAMETERS = {
        "options": component_spec.ExecutionParameter(type=str),
        "serving_dir": component_spec.ExecutionParameter(type=str),
        "served": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "judge": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Judges a generator and blesses it, or not.

    Args:
      examples: Examples whose eval split is real, and never rebalanced.
      model: the generator that the Trainer exported.
      judge: the classifier whose features and labels the figures rest on.
      options: GateOptions as JSON.
      serving_dir: base path that the Pusher pushes to; its newest version is what the candidate is compared with.
      code_version: hash of the sources behind this component; part of the cache key, nothing else.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        judge: BaseChannel,
        options: str,
        serving_dir: str,
        code_version: str,
    ):
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                judge=judge,
                options=options,
                serving_dir=serving_dir,
                served="",
                code_version=code_version,
                evaluation=Channel(type=standard_artifacts.ModelEvaluation),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
            )
        )
