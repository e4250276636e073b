"""What requests ask of the versions of models: which one has a number or a label, kept while they use it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from serving.config import ModelConfig
from serving.errors import ServingError, invalid
from serving.version import State, Version


class Served:
    """The versions of all models, for requests; may be asked from several threads."""

    def __init__(self, models: Mapping[str, ModelConfig]):
        """Takes the models by name; none has a version yet."""
        self._lock = threading.RLock()
        self._wake = threading.Event()  # there is something to do for who loads and closes versions
        self._models: dict[str, ModelConfig] = dict(models)
        self._versions: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}

    @contextmanager
    def use(self, name: str, number: int | None = None, label: str | None = None) -> Iterator[Version]:
        """A version that stays loaded as long as the context lasts: the one asked for, or the newest.

        Raises:
          ServingError: if it is not served.
        """
        version = self.take(name, number, label)
        try:
            yield version
        finally:
            self.release(version)

    def take(self, name: str, number: int | None = None, label: str | None = None) -> Version:
        """As `use`; `release` must follow."""
        with self._lock:
            if label is not None:
                labels = self._labels.get(name, {})
                if label not in labels:
                    raise invalid(f"Unrecognized servable version label: {label}")
                number = labels[label]
            served = {v.number: v for v in self._versions.get(name, {}).values() if v.state == "AVAILABLE"}
            asked = max(served, default=None) if number is None else number
            if asked not in served:
                request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise ServingError("NOT_FOUND", f"Servable not found for request: {request}")
            served[asked].users += 1
            return served[asked]

    def hold(self, version: Version) -> None:
        """One user more of a version that has one."""
        with self._lock:
            version.users += 1

    def release(self, version: Version) -> None:
        """One user less."""
        with self._lock:
            version.users -= 1
            if not version.users and version.state == "UNLOADING":
                self._wake.set()

    def status(self, name: str, number: int | None = None) -> list[tuple[int, State, ServingError | None]]:
        """(number, state, error) of the versions of a model, newest first, or of one of them.

        Raises:
          ServingError: if there are none.
        """
        with self._lock:
            known = self._versions.get(name, {})
            if number is not None and number not in known:
                raise ServingError("NOT_FOUND", f"Could not find version {number} of model {name}")
            if not known:
                raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
            numbers = sorted(known, reverse=True) if number is None else [number]
            return [(known[n].number, known[n].state, known[n].error) for n in numbers]

    def ready(self) -> bool:
        """Whether every model has a version that is served."""
        with self._lock:
            return all(self._serves(name) for name in self._models)

    def names(self) -> list[str]:
        """The models that are configured."""
        return list(self._models)

    def knows(self, name: str) -> bool:
        """Whether a model of that name is or was configured."""
        return name in self._models or name in self._versions

    def _serves(self, name: str) -> bool:
        return any(version.state == "AVAILABLE" for version in self._versions.get(name, {}).values())
