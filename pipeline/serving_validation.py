"""What the ServingValidator made of a run's generator, and what becomes of the gate's verdict by that."""

import json
from collections.abc import Mapping
from typing import Any

from components.evaluator.markdown import number
from components.serving_validator.constants import VALIDATION_FILE
from pipeline.config import ConfigError
from pipeline.record import RunRecord

Validation = Mapping[str, Any]  # see `components.serving_validator.validation.validate`


def read(record: RunRecord) -> dict[str, Any] | None:
    """The validation of a run; None where the configuration wants none.

    Raises:
      ConfigError: if it cannot be read.
    """
    folder = record.output("ServingValidator", "blessing")
    if folder is None:
        return None
    path = folder / VALIDATION_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error!r}); `tailgan run` makes it again") from None


def is_refused(validation: Validation | None) -> bool:
    """Whether a server was started and did not answer as it should."""
    return validation is not None and not validation["skipped"] and not validation["blessed"]


def reasons(record: RunRecord) -> list[str]:
    """Why a server refused the generator of a run; nothing where none did, or it is no longer known."""
    try:
        validation = read(record)
    except ConfigError:
        return []
    return [f"in a server: {reason}" for reason in validation["reasons"]] if validation else []


def verdict(evaluation: Mapping[str, Any], validation: Validation | None) -> dict[str, Any]:
    """`verdict, blessed, reasons` of gate and server together: what a server refuses is rejected."""
    if validation is None or not is_refused(validation):
        return {key: evaluation[key] for key in ("verdict", "blessed", "reasons")}
    refusal = [f"in a server: {reason}" for reason in validation["reasons"]]
    return {"verdict": "rejected", "blessed": False, "reasons": [*refusal, *evaluation["reasons"]]}


def told(validation: Validation) -> str:
    """The validation in a few words."""
    if validation["skipped"]:
        return f"none was started: {validation['skipped']}"
    failed = sum(bool(check["reason"]) for check in validation["checks"])
    server, count = validation["server"], len(validation["checks"])
    return f"{server}: {failed} of {count} checks fail" if failed else f"{server}: all {count} checks pass"


def rows(validation: Validation) -> list[dict[str, str]]:
    """One row a kind of check, with its worst figure: `name, value, limit, outcome` (pass or fail)."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for check in validation["checks"]:
        kinds.setdefault(check["name"], []).append(check)
    return [
        {
            "name": name,
            "value": _worst(checks),
            "limit": _figure(checks[0]["limit"], checks[0]["unit"]),
            "outcome": "fail" if any(check["reason"] for check in checks) else "pass",
        }
        for name, checks in kinds.items()
    ]


def _worst(checks: list[Mapping[str, Any]]) -> str:
    """The largest figure of a kind, and where it was; none at all is worse."""
    check = max(checks, key=lambda check: float("inf") if check["value"] is None else check["value"])
    where = f" ({check['where']})" if check["where"] and check["value"] != 0 else ""
    return _figure(check["value"], check["unit"]) + where


def _figure(value: float | None, unit: str) -> str:
    return number(value) if value is None or not unit else f"{number(value)} {unit}"
