"""Executor of TFX's own Pusher, by which a version appears in the serving directory whole or not at all.

TFX copies a model file by file to where TensorFlow Serving looks for it; killed on the way, it leaves a part of a model
there. Here it copies to a folder beside, whose name is no number and which no server takes for a version.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from tfx.components.pusher import executor
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_component_specs import PUSH_DESTINATION_KEY, PUSHED_MODEL_KEY

from models.files import move_whole

STAGING = ".incoming"


class Executor(executor.Executor):
    """Pushes to a folder on a local file system."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes a blessed model as a version above all that are there.

        Args:
          input_dict, output_dict: see TFX's Pusher.
          exec_properties:
            - push_destination: PushDestination as JSON, of a filesystem.

        Raises:
          OSError: if the model cannot be copied; what serves stays as it is.
        """
        destination = json.loads(exec_properties[PUSH_DESTINATION_KEY])
        base = Path(destination["filesystem"]["base_directory"])
        staging = base / STAGING
        shutil.rmtree(staging, ignore_errors=True)  # left by a push that was killed
        destination["filesystem"]["base_directory"] = str(staging)
        try:
            super().Do(input_dict, output_dict, {**exec_properties, PUSH_DESTINATION_KEY: json.dumps(destination)})
            for pushed in staging.glob("*"):  # one version, or none where the model was not blessed
                # Seconds, as TFX counts versions; but a clock that was put back must not hide a new version.
                taken = [int(child.name) for child in base.iterdir() if child.name.isdecimal()]
                version = str(max([int(time.time()), *(number + 1 for number in taken)]))
                move_whole(pushed, base / version)
                model_push = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY])
                self._MarkPushed(model_push, pushed_destination=str(base / version), pushed_version=version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
