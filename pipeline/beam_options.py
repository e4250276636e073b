"""The `beam` section of a configuration: what runs the Beam parts."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

PORTABLE = "PortableRunner"

# The options of the runners that have keys of their own; those of others are in `args`.
_OPTIONS = {
    "DirectRunner": ("direct_num_workers", "direct_running_mode"),
    PORTABLE: ("job_endpoint", "environment_type", "environment_config"),
}
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})")


def host_and_port(text: str) -> tuple[str, int]:
    """Reads `host:port`; an IPv6 address stands in brackets.

    >>> host_and_port("beam-job-server:8099")
    ('beam-job-server', 8099)

    Raises:
      ValueError: if it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or not 1 <= int(found[3]) <= 65535:
        raise ValueError(f"an address is host:port, such as localhost:8099, not {text!r}")
    return found[1] or found[2], int(found[3])


def job_endpoint(args: Sequence[str]) -> str | None:
    """The job endpoint in arguments as `BeamOptions.pipeline_args` gives them; None if they name another runner."""
    if f"--runner={PORTABLE}" not in args:
        return None
    return next(arg.partition("=")[2] for arg in args if arg.startswith("--job_endpoint="))


class BeamOptions(BaseModel):
    """What runs the Beam parts, ExampleGen, StatisticsGen, the Rebalancer and the Evaluator (docs/beam.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    runner: str = Field(
        "DirectRunner",
        description="`DirectRunner`, on this machine; `PortableRunner`, on Flink, Spark or what else is behind "
        "`job_endpoint`; or the name of another runner of Beam's, whose options are in `args`.",
    )
    direct_num_workers: int = Field(1, ge=0, description="DirectRunner: workers; 0 means one a core.")
    direct_running_mode: Literal["in_memory", "multi_threading", "multi_processing"] = Field(
        "in_memory", description="DirectRunner: how its workers run."
    )
    job_endpoint: str | None = Field(
        None, description="PortableRunner: `host:port` of the engine's job server. It must be given."
    )
    environment_type: Literal["EXTERNAL", "PROCESS", "DOCKER", "LOOPBACK"] = Field(
        "EXTERNAL",
        description="PortableRunner: how the engine comes by workers: from a worker pool beside it; by a command; by a "
        "container; in the process that submits.",
    )
    environment_config: str | None = Field(
        None,
        description="PortableRunner: for `EXTERNAL` the `host:port` of the worker pool as the engine sees it; for "
        "`PROCESS` JSON with the `command`; for `DOCKER` an image that has tailgan; not for `LOOPBACK`.",
    )
    args: tuple[str, ...] = Field(
        (), description="Further options as on Beam's command line, such as `--parallelism=4` for Flink."
    )

    @field_validator("job_endpoint", "environment_config")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        is_pool = info.data.get("environment_type") == "EXTERNAL"
        if value is not None and (is_pool or info.field_name == "job_endpoint"):
            host_and_port(value)
        return value

    @model_validator(mode="after")
    def _options_are_the_runners(self) -> "BeamOptions":
        for runner, names in _OPTIONS.items():
            for name in names:
                if runner != self.runner and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"`beam.{name}` is for {runner}, not for `beam.runner: {self.runner}`")
        for arg in self.args:
            name = arg.lstrip("-").partition("=")[0]
            if name in ("runner", *_OPTIONS.get(self.runner, ())):
                raise ValueError(f"`{arg}` in `beam.args` has a key of its own, `beam.{name}`")
        return self

    @model_validator(mode="after")
    def _portable_is_complete(self) -> "BeamOptions":
        if self.runner != PORTABLE:
            return self
        if self.job_endpoint is None:
            raise ValueError(f"runner {PORTABLE} needs `beam.job_endpoint`, host:port of a job server")
        if bool(self.environment_config) == (self.environment_type == "LOOPBACK"):
            verb = "does not go with" if self.environment_config else "needs"
            raise ValueError(f"`beam.environment_type: {self.environment_type}` {verb} `beam.environment_config`")
        return self

    def pipeline_args(self) -> list[str]:
        """The options as Beam's command line has them."""
        own = {name: getattr(self, name) for name in _OPTIONS.get(self.runner, ())}
        given = [f"--{name}={value}" for name, value in own.items() if value is not None]
        return [f"--runner={self.runner}", *given, *self.args]
