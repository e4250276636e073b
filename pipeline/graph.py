"""The compiled graph as a file: what `tailgan compile` writes, the image holds and each task launches its node from."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError


def sha256(text: bytes) -> str:
    """By which a task knows that the image holds the graph that the pipeline was made from."""
    return hashlib.sha256(text).hexdigest()


def read(path: Path, expected: str) -> bytes:
    """The file, if it is the one that was meant.

    Raises:
      ConfigError: if it is not there, or another.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the compiled graph cannot be read: {error.strerror}; is it in the image?") from None
    if sha256(text) != expected:
        raise ConfigError(
            f"{path}: not the graph that this pipeline was compiled from: its sha256 is {sha256(text)}, "
            f"expected {expected}; image and pipeline.yaml are of different versions"
        )
    return text


def node_ids(text: bytes) -> list[str]:
    """Ids of the nodes, each after those it depends on."""
    return [node["pipeline_node"]["node_info"]["id"] for node in json.loads(text)["nodes"]]


def upstream(text: bytes) -> dict[str, list[str]]:
    """{node id: ids of the nodes that it waits for}."""
    nodes = [node["pipeline_node"] for node in json.loads(text)["nodes"]]
    return {node["node_info"]["id"]: sorted(node.get("upstream_nodes", [])) for node in nodes}


def pipeline_name(text: bytes) -> str:
    """Under which the metadata store knows the runs of the pipeline."""
    return json.loads(text)["pipeline_info"]["id"]


def root(text: bytes) -> Path:
    """The directory of everything that the pipeline writes."""
    pipeline_root: dict[str, Any] = json.loads(text)["runtime_spec"]["pipeline_root"]
    return Path(pipeline_root["runtime_parameter"]["default_value"]["string_value"]).parent


def beam_args(text: bytes, node_id: str) -> list[str]:
    """What a node would have on Beam's command line; nothing where it does not use Beam."""
    spec = json.loads(text)["deployment_config"]["executor_specs"].get(node_id, {})
    return [arg["value"]["string_value"] for arg in spec.get("beam_pipeline_args_placeholders", ())]
