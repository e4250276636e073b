"""`tailgan run --resume`: only what goes on with the newest run of a root."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config, ConfigError
from pipeline.record import RunRecord

# How a run is made, not what comes of it.
FREE = ("gan.checkpoint_every", "gan.keep_checkpoints", "gan.monitor", "retention", "beam", "kubeflow")

_ABSENT = object()
_LINES, _WIDTH = 10, 60


def check(root: Path, config: Config) -> None:
    """Makes sure that a run goes on with what the newest one began.

    Args:
      root: of the runs.
      config: of the run to be.

    Raises:
      ConfigError: if there was no run, or its configuration differs in more than `FREE`; with the keys and both values.
    """
    record = RunRecord.load(root)
    if record is None:
        raise ConfigError(f"{root}: no run here that --resume could go on with")
    found = [
        f"{key}: {_shown(before)} -> {_shown(now)}"
        for key, before, now in differences(record.config, config.model_dump(mode="json"))
    ]
    if found:
        more = [f"and {len(found) - _LINES} keys more"] if len(found) > _LINES else []
        head = (
            f"{root}: --resume goes on with run {record.run_id}, whose configuration differs (without it, a run may):"
        )
        raise ConfigError("\n".join([head, *found[:_LINES], *more]))


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ and are not `FREE`, with both values, in the order of the configuration."""
    if key in FREE:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**now, **before}:
            dotted = f"{key}.{name}" if key else str(name)
            yield from differences(before.get(name, _ABSENT), now.get(name, _ABSENT), dotted)
    elif before != now:
        yield key, before, now


def _shown(value: Any) -> str:
    text = "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
