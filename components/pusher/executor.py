"""Executor of TFX's own Pusher, by which a version appears in the serving directory whole or not at all.

TFX copies a model file by file to where TensorFlow Serving looks for it; killed on the way, it leaves a part of a model
there. Here it copies to a folder beside, whose name is no number and which no server takes for a version. What the
Evaluator found goes with it, into `assets.extra/`, and a row into the history of the serving directory. Of two pushes
at once, on whatever machines, one waits.
"""

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfx.components.pusher import executor
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_component_specs import MODEL_BLESSING_KEY, PUSH_DESTINATION_KEY, PUSHED_MODEL_KEY

from components.evaluator.constants import EVALUATION_FILE, MODEL_CARD_FILE
from components.evaluator.served import fingerprint, what_serves
from components.pusher import history
from models.files import locked, move_whole

STAGING = ".incoming"


class Executor(executor.Executor):
    """Pushes to a folder on a local file system."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes a blessed model as a version above all that are or were there.

        Args:
          input_dict, output_dict: see TFX's Pusher; what the Evaluator put into the folder of the blessing is pushed
            with the model.
          exec_properties:
            - push_destination: PushDestination as JSON, of a filesystem.

        Raises:
          OSError: if the model cannot be copied; what serves stays as it is.
        """
        destination = json.loads(exec_properties[PUSH_DESTINATION_KEY])
        base = Path(destination["filesystem"]["base_directory"])
        base.mkdir(parents=True, exist_ok=True)
        staging = base / STAGING
        destination["filesystem"]["base_directory"] = str(staging)
        properties = {**exec_properties, PUSH_DESTINATION_KEY: json.dumps(destination)}
        with locked(base):
            _clear(base)  # what a push that was killed has left
            try:
                super().Do(input_dict, output_dict, properties)
                for pushed in staging.glob("*"):  # one version, or none where the model was not blessed
                    self._appear(base, pushed, input_dict, output_dict)
            finally:
                _clear(base)

    def _appear(
        self,
        base: Path,
        pushed: Path,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
    ) -> None:
        """Makes a version of what was copied, and a row of the history, unless a try before this one has."""
        model_push = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY])
        now = what_serves(str(base))
        if now and now.fingerprint == fingerprint(pushed):
            self._MarkPushed(model_push, pushed_destination=now.path, pushed_version=str(now.version))
            return
        # Seconds, as TFX counts versions; but a clock that was put back must not hide a new version.
        taken = _versions(base) | {row["version"] for row in history.rows(base)}
        version = max([int(time.time()), *(number + 1 for number in taken)])
        # Under its own name already, by which `_clear` knows that a row of the history came to nothing.
        ready = pushed.rename(pushed.with_name(str(version)))
        evaluation = _add_evaluation(ready, input_dict.get(MODEL_BLESSING_KEY, []))
        history.append(base, _row(version, ready, evaluation))
        move_whole(ready, base / str(version))
        self._MarkPushed(model_push, pushed_destination=str(base / str(version)), pushed_version=str(version))


def _clear(base: Path) -> None:
    """Removes the folder of incoming versions, and rows of versions that never got out of it."""
    staging = base / STAGING
    try:
        history.forget(base, _versions(staging) - _versions(base))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _versions(folder: Path) -> set[int]:
    """Numbers of the versions in a folder."""
    return {int(path.name) for path in folder.glob("*") if path.name.isdecimal()}


def _add_evaluation(model: Path, blessings: list[Artifact]) -> dict[str, Any] | None:
    """Copies what the Evaluator found beside the model; returns the evaluation, None where there is none."""
    extra = model / "assets.extra"
    for blessing in blessings:
        for name in (EVALUATION_FILE, MODEL_CARD_FILE):
            source = Path(blessing.uri) / name
            if source.is_file():  # a blessing of an earlier version has neither
                extra.mkdir(exist_ok=True)
                shutil.copyfile(source, extra / name)
    path = extra / EVALUATION_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _row(version: int, model: Path, evaluation: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "version": version,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "generator": evaluation["generator"] if evaluation else fingerprint(model),
        **history.figures(evaluation),
    }
