"""Calls a generator in a server before it is pushed, in the place of TFX's InfraValidator."""

import json
import logging
from pathlib import Path
from typing import Any

from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.serving_validator.constants import BLESSED_PROPERTY, SERVER_LOG, VALIDATION_FILE
from components.serving_validator.options import ValidationOptions
from components.serving_validator.validation import skipped, validate
from models.files import write_whole

# As TFX's InfraValidator leaves them and its Pusher reads them.
BLESSED_FILE, NOT_BLESSED_FILE = "INFRA_BLESSED", "INFRA_NOT_BLESSED"

log = logging.getLogger("tailgan")


class Executor(base_executor.BaseExecutor):
    """Blesses what a server process has answered for as it should.

    Input: `model` (the generator), `model_blessing` (the Evaluator's; without it no server is started, for nothing
    would be pushed).
    Output: `blessing` (InfraBlessing: validation.json, server.log).
    Exec properties: `options` (ValidationOptions as JSON), `code_version`.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        options = ValidationOptions.model_validate_json(exec_properties["options"])
        model = artifact_utils.get_single_uri(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        uri = Path(blessing.uri)
        if model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict["model_blessing"])):
            document = validate(Path(path_utils.serving_model_path(model)), options, uri / SERVER_LOG)
        else:
            document = skipped("the Evaluator gave nothing to push")
        write_whole(uri / VALIDATION_FILE, json.dumps(document, indent=2, allow_nan=False))
        blessing.set_int_custom_property(BLESSED_PROPERTY, int(document["blessed"]))
        (uri / (BLESSED_FILE if document["blessed"] else NOT_BLESSED_FILE)).touch()
        log.info(_told(document))


def _told(document: dict[str, Any]) -> str:
    if document["skipped"]:
        return f"no server was started: {document['skipped']}"
    if not document["blessed"]:
        return f"it does not serve: {'; '.join(document['reasons'])}"
    return f"it serves: {len(document['checks'])} checks pass"
