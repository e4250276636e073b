"""The Evaluator of generators, as a TFX component."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.driver import StateDriver
from components.evaluator import executor
from components.evaluator.options import GateOptions
from components.evaluator.served import best_served, what_serves


class Driver(StateDriver):
    """Looks at the world at launch, so that the cache key sees it and no path in the graph goes stale.

    That is what serves now; the best that served, if it is another version; and the file of weights of the network
    that features are taken from, if they come from one.
    """

    def state(self, exec_properties: dict[str, Any]) -> dict[str, str]:
        served, best = (find(exec_properties["serving_dir"]) for find in (what_serves, best_served))
        features = GateOptions.model_validate_json(exec_properties["options"]).features
        return {
            "served": json.dumps(asdict(served)) if served else "",
            "best": json.dumps(asdict(best)) if best and best != served else "",
            "weights": _fingerprint(features.weights) if features.weights else "",
        }


def _fingerprint(path: str) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class EvaluatorSpec(component_spec.ComponentSpec):
    """Interface of the Evaluator."""

    PARAMETERS = {
        "options": component_spec.ExecutionParameter(type=str),
        "serving_dir": component_spec.ExecutionParameter(type=str),
        "cache_dir": component_spec.ExecutionParameter(type=str),
        "looking_version": component_spec.ExecutionParameter(type=str),
        "served": component_spec.ExecutionParameter(type=str),
        "best": component_spec.ExecutionParameter(type=str),
        "weights": component_spec.ExecutionParameter(type=str),
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
      examples: Examples whose splits are real, and never rebalanced.
      model: the generator that the Trainer exported.
      judge: the classifier whose labels the figures rest on, and its features unless others are named.
      options: GateOptions as JSON.
      serving_dir: base path that the Pusher pushes to; the candidate is compared with its newest version and its best.
      cache_dir: directory of what is kept of real images from one evaluation to the next.
      looking_version: hash of the sources behind what is kept there.
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
        cache_dir: str,
        looking_version: str,
        code_version: str,
    ):
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                judge=judge,
                options=options,
                serving_dir=serving_dir,
                cache_dir=cache_dir,
                looking_version=looking_version,
                served="",
                best="",
                weights="",
                code_version=code_version,
                evaluation=Channel(type=standard_artifacts.ModelEvaluation),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
            )
        )
