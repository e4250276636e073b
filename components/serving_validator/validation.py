"""A generator, called in a server as its users will call it."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.serving_validator import checks
from components.serving_validator.asking import Signature
from components.serving_validator.calls import Grpc, Rest
from components.serving_validator.checks import Check
from components.serving_validator.options import ValidationOptions
from components.serving_validator.server import MODEL_NAME, Server, ServerFailed, serving
from models.export import METADATA_FILE
from models.signatures import SERVING_DEFAULT

log = logging.getLogger("tailgan")


def validate(model: Path, options: ValidationOptions, server_log: Path) -> dict[str, Any]:
    """Starts a server, calls the generator in it, and ends it.

    Args:
      model: directory of an exported generator.
      options: which server, and the limits.
      server_log: file for what it has to say.

    Returns:
      `blessed`; `reasons`, in words, where it is not; `skipped`, None; `server`, what it was; `checks`, rows of
      `name, where, value, limit, unit, reason`.

    Raises:
      UserError: if there is no server to be had here.
    """
    found: list[Check] = []
    try:
        metadata = json.loads((model / METADATA_FILE).read_text(encoding="utf-8"))
        with serving(model, options, server_log) as server:
            for check in _checks(metadata, server, options):
                found.append(check)
    except ServerFailed as failure:
        found.append(Check("answer of the server", "server", None, None, "", str(failure)))
    reasons = [f"{check.where}: {check.name}: {check.reason}" for check in found if check.reason]
    return {
        "blessed": not reasons,
        "skipped": None,
        "reasons": reasons,
        "server": options.image if options.server == "docker" else "local",
        "checks": [asdict(check) for check in found],
    }


def skipped(reason: str) -> dict[str, Any]:
    """The same of a generator that no server was started for."""
    return {"blessed": False, "skipped": reason, "reasons": [], "server": None, "checks": []}


def _checks(metadata: dict[str, Any], server: Server, options: ValidationOptions) -> Iterator[Check]:
    """All of them, in turn; ends with `ServerFailed` if the server does not last so long."""
    limit = options.timeout_seconds
    yield Check("time until the generator is available", "server", server.seconds, limit, "s")
    with closing(Grpc(server.grpc, MODEL_NAME, limit)) as grpc, closing(Rest(server.rest, MODEL_NAME, limit)) as rest:
        try:
            yield checks.of_signatures(grpc, metadata)
            for name in metadata["signatures"]:
                yield from checks.of_signature(Signature(name, metadata), grpc, rest)
            if "array" in metadata["signatures"]:
                yield checks.of_array(metadata, grpc)
            for interface in (grpc, rest):
                yield from checks.of_time(Signature(SERVING_DEFAULT, metadata), interface, options)
        except ServerFailed:
            server.check(patience=2)  # what it said at its end tells more than that a connection is gone
            raise
    yield checks.of_memory(server.peak_memory(), options)
