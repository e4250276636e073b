"""The versions of the models: found, loaded, warmed, retired, by a thread that looks at the file system.

A version is a directory with a number for a name. It is loaded when it holds a `saved_model.pb` and nothing in it has
changed between two looks, so that one that is being copied is left alone. A new version is loaded and warmed before an
old one is retired; one that cannot be loaded is reported and the old one goes on. A version is closed when the last
request that uses it has ended.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from serving.config import ModelConfig
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.served import Served
from serving.version import Version, contents_of

if TYPE_CHECKING:
    from serving.model import Model

logger = logging.getLogger("serving")

LoadModel = Callable[[Path], "Model"]
LOOK_AGAIN_SECONDS = 1.0  # at the latest, while a version is not settled


class Versions(Served):
    """All versions of all models, and the thread that loads and closes them."""

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        metrics: Metrics,
        poll_seconds: float,
        retries: int,
        retry_seconds: float,
        label_unavailable: bool = False,
    ):
        """Starts nothing; `run` does.

        Args:
          models: by name.
          metrics: where loading is counted.
          poll_seconds: between looks at the file system; 0 means none after what is there has been loaded.
          retries: of a version that could not be loaded, while its files stay as they are.
          retry_seconds: between them.
          label_unavailable: whether a new label may be given to a version that is not served yet.

        Raises:
          ServingError: if a label is given to a version that is not served yet and may not be.
        """
        super().__init__(models)
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._label_unavailable = label_unavailable
        self._stopped = False
        self._said: dict[str, str] = {}  # the last complaint about each model
        self._reloading = threading.Lock()
        self._coming: dict[str, ModelConfig] = {}  # of the reload that is under way
        self._announced = 0
        self._looked = 0  # `_announced`, as it was when the last look began
        self._set_labels(models)

    def reload(self, models: Mapping[str, ModelConfig], timeout: float = 60.0) -> None:
        """Takes another configuration, whole or not at all.

        What it adds is loaded beside what serves. Only when every model serves, and every label can be given, does the
        configuration before end.

        Raises:
          ServingError: if a model did not become available in time, or a label could not be given.
        """
        with self._reloading:
            deadline = time.monotonic() + timeout
            try:
                self._bring(models, deadline)
                with self._lock:
                    missing = [name for name in models if not self._serves(name)]
                    if missing:
                        told = "".join(f"{{name: {name}}}, " for name in missing)
                        raise ServingError("UNKNOWN", f"{len(missing)} model(s) did not become available: {{{told}}}")
                    self._set_labels(models)
                    self._models = dict(models)
            finally:
                self._bring({}, deadline)  # and what is not wanted any more is closed

    def _bring(self, models: Mapping[str, ModelConfig], deadline: float) -> None:
        """Has the thread load models beside those that are configured, and waits until it has tried."""
        with self._lock:
            self._coming = dict(models)
            self._announced += 1
            mine = self._announced
            self._wake.set()
        while (self._looked < mine or self._pending(models)) and time.monotonic() < deadline and not self._stopped:
            time.sleep(0.05)

    def _pending(self, models: Mapping[str, ModelConfig]) -> bool:
        """Whether there is a version to be loaded that was not tried yet."""
        with self._lock:
            known = [version for name in models for version in self._versions.get(name, {}).values()]
            return any(version.state in ("START", "LOADING") and not version.failures for version in known)

    def _set_labels(self, models: Mapping[str, ModelConfig]) -> None:
        """All labels anew, or none of them."""
        for name, model in models.items():
            for label, number in model.labels.items():
                version = self._versions.get(name, {}).get(number)
                serves = version and version.state == "AVAILABLE" and number in (self._aspired(model) or ())
                new = label not in self._labels.get(name, {})
                if not serves and not (self._label_unavailable and new):
                    raise ServingError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )
        self._labels = {name: dict(model.labels) for name, model in models.items()}

    def run(self, load_model: LoadModel) -> None:
        """Looks, loads and retires until `stop`."""
        while not self._stopped:
            self._wake.clear()
            settled = self.look(load_model)
            self._wake.wait(self._pause(settled))
        for versions in self._versions.values():
            for version in versions.values():
                if version.model is not None and not version.users:
                    self._close(version)

    def stop(self) -> None:
        """Ends `run`."""
        self._stopped = True
        self._wake.set()

    def _pause(self, settled: bool) -> float | None:
        """Seconds to the next look."""
        if not settled:
            return min(LOOK_AGAIN_SECONDS, self._poll_seconds) if self._poll_seconds > 0 else LOOK_AGAIN_SECONDS
        return self._poll_seconds if self._poll_seconds > 0 else None

    def look(self, load_model: LoadModel | None) -> bool:
        """One look at all base paths; loads (if it is told by what) and retires what is due.

        Returns:
          Whether there is nothing that has to be looked at again soon.
        """
        settled = True
        with self._lock:
            announced = self._announced
            wanted: dict[str, list[ModelConfig]] = {name: [] for name in self._versions}
            for model in (*self._models.values(), *self._coming.values()):
                wanted.setdefault(model.name, []).append(model)
        for name, models in wanted.items():
            try:
                settled &= self._look_at(name, models, load_model)
            except Exception:  # whatever it is, this thread goes on
                logger.exception("%s", name)
                settled = False
        self._looked = announced
        return settled

    def _look_at(self, name: str, models: list[ModelConfig], load_model: LoadModel | None) -> bool:
        """One look at a model, as it is configured now and by the reload that is under way."""
        settled = True
        found = [self._aspired(model) for model in models]
        aspired = {number: path for versions in reversed(found) for number, path in (versions or {}).items()}
        with self._lock:
            known = self._versions.setdefault(name, {}) if aspired else self._versions.get(name, {})
            for number, path in aspired.items():
                if number not in known or (known[number].state == "END" and known[number].error is None):
                    known[number] = Version(number, path)
        for number in aspired:
            settled &= self._advance(known[number], name, load_model)
        # What serves stays until all that is to replace it serves, and while nobody can tell what that is.
        replaced = None not in found and all(known[number].state == "AVAILABLE" for number in aspired)
        self._retire(known, aspired, replaced)
        return settled

    def _aspired(self, model: ModelConfig) -> dict[int, Path] | None:
        """The versions that should be served, newest first; None if the base path cannot be read."""
        try:
            children = [path for path in model.base_path.iterdir() if path.name.isdecimal() and path.is_dir()]
        except OSError as error:
            self._complain(
                model.name, f"Could not find base path {model.base_path} for servable {model.name}: {error.strerror}"
            )
            return None
        found = {number: path for path in children if (number := int(path.name)) < 2**63}
        picked = {number: found[number] for number in model.policy.pick(list(found))}
        if not picked:
            self._complain(
                model.name,
                f"No versions of servable {model.name} found under base path {model.base_path}: waiting for a "
                "directory whose name is a number",
            )
        else:
            self._said.pop(model.name, None)
        return picked

    def _complain(self, name: str, what: str) -> None:
        if self._said.get(name) != what:
            self._said[name] = what
            logger.warning(what)

    def _advance(self, version: Version, name: str, load_model: LoadModel | None) -> bool:
        """Loads a version if it is due; returns whether there is nothing to be done about it soon."""
        if version.state == "UNLOADING":  # it has come back, and only this thread would have closed it
            version.state = "AVAILABLE"
        if version.state == "AVAILABLE":
            return True
        contents = contents_of(version.path)
        if contents != version.contents:
            version.contents, version.failures, version.next_attempt = contents, 0, 0.0
            version.state, version.error = "LOADING", None
            return False
        if load_model is None or version.state == "END" or time.monotonic() < version.next_attempt:
            return version.state == "END"
        self._load(version, name, load_model)
        return version.state in ("AVAILABLE", "END")

    def _load(self, version: Version, name: str, load_model: LoadModel) -> None:
        start = time.monotonic()
        try:
            model = load_model(version.path)
            self._metrics.load_attempts.add(str(version.path), "success")
            try:
                warm = model.warm_up(version.path)
            except Exception:
                model.close()
                raise
        except Exception as error:  # whatever a model's files can make TensorFlow raise
            fault = (
                error
                if isinstance(error, ServingError)
                else ServingError("INTERNAL", f"{type(error).__name__}: {error}")
            )
            self._metrics.load_attempts.add(str(version.path), "fail")
            logger.error("%s version %d cannot be loaded: %s: %s", name, version.number, fault.code, fault.message)
            with self._lock:
                version.failures += 1
                version.next_attempt = time.monotonic() + self._retry_seconds
                if version.failures > self._retries:
                    version.state, version.error = "END", fault
            return
        if warm:
            self._metrics.warmup_latency.observe(warm, str(version.path), "OK")
        with self._lock:
            version.model, version.state = model, "AVAILABLE"
        logger.info("%s version %d is served (loaded in %.1f s)", name, version.number, time.monotonic() - start)

    def _retire(self, known: Mapping[int, Version], aspired: Mapping[int, Path], replaced: bool) -> None:
        """Ends what is no longer wanted: what serves, if it is replaced."""
        for version in list(known.values()):
            if version.number in aspired:
                continue
            with self._lock:
                if version.state == "AVAILABLE" and replaced:
                    version.state = "UNLOADING"
                elif version.state in ("START", "LOADING") or (version.error and not version.path.is_dir()):
                    version.state, version.error = "END", None
                idle = version.state == "UNLOADING" and not version.users
            if idle:
                self._close(version)

    def _close(self, version: Version) -> None:
        model, version.model = version.model, None
        if model is not None:
            model.close()
        del model
        gc.collect()  # graphs are full of cycles
        with self._lock:
            version.state = "END"
        logger.info("%s is no longer served", version.path)
