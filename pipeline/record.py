"""The record of a run, `run.json` in its root: what `tailgan status` and the report read, without TFX or TensorFlow."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from models.files import write_whole
from pipeline.config import ConfigError

FILE_NAME = "run.json"

Outcome = Literal["running", "pushed", "already_serving", "not_blessed", "failed", "interrupted"]


class NodeRecord(BaseModel):
    """State of one node; `seconds` and `outputs` ({name: uris}) from when it has ended."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["pending", "running", "complete", "cached", "failed", "stopped"] = "pending"
    seconds: float | None = None
    outputs: dict[str, list[str]] = {}


class RunRecord(BaseModel):
    """State of one run."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    pid: int
    started: str
    finished: str | None = None
    outcome: Outcome = "running"
    error: str | None = None
    log: str | None = None
    serving_dir: str
    config: dict[str, Any]
    nodes: dict[str, NodeRecord]

    @classmethod
    def load(cls, root: Path) -> "RunRecord | None":
        """The record of the newest run below `root`; None if there is none.

        Raises:
          ConfigError: if it is damaged, or of another version of this project.
        """
        path = root / FILE_NAME
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(
                f"{path}: damaged, or written by another version of tailgan ({str(error).splitlines()[0]}); "
                "`tailgan run` writes it anew, and what was made stays"
            ) from None

    def save(self, root: Path) -> None:
        """Writes it, whole or not at all."""
        write_whole(root / FILE_NAME, self.model_dump_json(indent=2))

    def output(self, node_id: str, key: str) -> Path | None:
        """Directory of an artifact that a node of this run put out; None while there is none."""
        node = self.nodes.get(node_id)
        uris = node.outputs.get(key) if node else None
        return Path(uris[0]) if uris else None
