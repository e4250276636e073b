"""Documents in YAML, held to shapes and to Kubernetes' own models."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from kubernetes import client


def read(path: Path) -> dict:
    """The one document of a file."""
    return yaml.safe_load(path.read_text())


def check(value, shape, where="") -> None:
    """Holds a document to a shape: keys (with a `?` if they may be missing), a list, a type, or a pattern."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert value.keys() <= {key.rstrip("?") for key in shape}, f"{where}: {value.keys()}"
        assert value.keys() >= {key for key in shape if not key.endswith("?")}, f"{where}: {value.keys()}"
        for key, inner in shape.items():
            if key.rstrip("?") in value:
                check(value[key.rstrip("?")], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, where
        for item in value:
            check(item, shape[0], f"{where}[]")
    elif isinstance(shape, str):
        assert isinstance(value, str) and re.fullmatch(shape, value), f"{where}: {value}"
    else:
        assert isinstance(value, shape), f"{where}: {value}"


def check_kubernetes(value, kind: str, where: str = "") -> None:
    """Holds a document to a model of Kubernetes' own client; a key that it does not know is refused."""
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), where
        for item in value:
            check_kubernetes(item, inner[1], f"{where}[]")
    elif inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        assert isinstance(value, dict), where
        for key, item in value.items():
            check_kubernetes(item, inner[1], f"{where}.{key}")
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, f"{where}: {value!r} is no {kind}"
    elif kind != "object":
        model = getattr(client, kind)
        kinds = {alias: model.openapi_types[name] for name, alias in model.attribute_map.items()}
        assert value.keys() <= kinds.keys(), f"{where}: unknown {value.keys() - kinds.keys()}"
        for key, item in value.items():
            check_kubernetes(item, kinds[key], f"{where}.{key}")


def as_kubernetes(document: dict, kind: str) -> Any:
    """The document as an object of Kubernetes' client, which refuses one without what is required."""
    check_kubernetes(document, kind)
    with client.ApiClient() as api:
        return api.deserialize(SimpleNamespace(data=json.dumps(document)), kind)
