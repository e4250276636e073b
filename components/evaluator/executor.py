"""Judges a generator on the real eval split and decides whether it may be pushed."""

import io
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.evaluator import judging, modelcard
from components.evaluator.cache import Cache
from components.evaluator.constants import EVALUATION_FILE, MODEL_CARD_FILE, SAMPLES_FILE, VERDICT_PROPERTY
from components.evaluator.options import GateOptions
from components.evaluator.rules import GROUPED, WHOLE
from components.evaluator.served import Served
from components.evaluator.sources import SourceAt
from components.evaluator.verdict import already_serving
from models.dataset import DatasetInfo
from models.files import write_whole

log = logging.getLogger("tailgan")


class Executor(tfx_evaluator.Executor):
    """Standard TFX Evaluator executor's place, for a generator."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges a generator.

        Args:
          input_dict:
            - examples: Examples with an eval split, as ExampleGen writes them.
            - model: the generator.
            - judge: Model, the classifier.
          output_dict:
            - evaluation: ModelEvaluation with `evaluation.json` and `samples.npz` (see samples.py); verdict and figures
              also as custom properties.
            - blessing: ModelBlessing as TFX's Pusher reads it; besides, `evaluation.json` and `modelcard.md`.
          exec_properties:
            - options: GateOptions as JSON.
            - cache_dir: where to keep what is found out about real images.
            - looking_version: of the code behind what is kept there.
            - served, best: from the driver, JSON of what serves and of the best that served, or "".
            - serving_dir, weights, code_version: only for the driver and the cache key.

        Raises:
          UserError: if the generator does not give what it should, or networks or real images are not fit.
        """
        examples = artifact_utils.get_single_uri(input_dict["examples"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        evaluation_artifact = artifact_utils.get_single_instance(output_dict["evaluation"])
        evaluation = Path(evaluation_artifact.uri)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        info = DatasetInfo.load(examples)
        candidate = SourceAt(path_utils.serving_model_path(model.uri), info.classes, info.image_shape)
        scratch = evaluation / ".tmp-looking"
        shutil.rmtree(scratch, ignore_errors=True)  # a task that was killed left it, and the run tries again
        scratch.mkdir(parents=True)
        try:
            judgement = judging.judge(
                candidate,
                judging.Given(
                    examples=examples,
                    judge=path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["judge"])),
                    options=GateOptions.model_validate_json(exec_properties["options"]),
                    cache=Cache(exec_properties["cache_dir"]),
                    version=exec_properties["looking_version"],
                    make_pipeline=self._make_beam_pipeline,
                    scratch=scratch,
                ),
                *(_served(exec_properties[role]) for role in ("served", "best")),
            )
        finally:
            shutil.rmtree(scratch)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **judgement.samples())
        write_whole(evaluation / SAMPLES_FILE, buffer.getvalue())
        document = judgement.document
        if judgement.serves:
            document = already_serving(document, document["served_version"])
        text = json.dumps(document, indent=2, allow_nan=False)
        write_whole(evaluation / EVALUATION_FILE, text)
        _note(evaluation_artifact, document)
        _bless(blessing, model, document["verdict"] == "blessed")
        write_whole(Path(blessing.uri) / EVALUATION_FILE, text)
        write_whole(Path(blessing.uri) / MODEL_CARD_FILE, modelcard.render(document, info))
        for warning in document["warnings"]:
            log.warning("%s", warning)
        log.info("verdict: %s: %s", document["verdict"].replace("_", " "), "; ".join(document["reasons"]))


def _served(text: str) -> Served | None:
    return Served(**json.loads(text)) if text else None


def _note(evaluation: Artifact, document: Mapping[str, Any]) -> None:
    """Leaves verdict and figures in the metadata store as well, which those can ask who do not see the files."""
    groups = document["groups"]
    figures = {
        **{figure: document[figure] for figure in WHOLE if figure in document},
        **{f"{scope}.{figure}": groups[scope][figure] for scope in ("mean", "worst") for figure in GROUPED},
    }
    evaluation.set_string_custom_property(VERDICT_PROPERTY, document["verdict"])
    for name, value in figures.items():
        if value is not None:
            evaluation.set_float_custom_property(name, float(value))


def _bless(blessing: Artifact, model: Artifact, blessed: bool) -> None:
    """Marks the blessing as the standard Pusher reads it."""
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    (Path(blessing.uri) / name).touch()
