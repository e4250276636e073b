"""The flags of the endpoint: TensorFlow Serving's own, under its names and with its defaults, and a few more."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from serving.errors import invalid


@dataclass(frozen=True)
class Options:
    """What the flags say; the fields are called like them, see `add_flags`."""

    host: str
    port: int
    rest_api_port: int
    rest_api_timeout_in_ms: int
    model_name: str
    model_base_path: str
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: float
    file_system_poll_wait_seconds: float
    max_num_load_retries: int
    load_retry_interval_micros: int
    allow_version_labels_for_unavailable_models: bool
    monitoring_config_file: Path | None
    enable_batching: bool
    batching_parameters_file: Path | None
    max_body_bytes: int
    max_rows: int
    max_waiting: int
    drain_seconds: float


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds all flags to a parser."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; nobody is asked who they are (default: %(default)s)")
    add("--port", type=_port, default=8500, help="port of gRPC; 0 means any that is free (default: %(default)s)")
    add("--rest_api_port", type=_port, default=8501, help="port of REST, likewise (default: %(default)s)")
    add(
        "--rest_api_timeout_in_ms",
        type=_at_least_1,
        default=30000,
        metavar="MS",
        help="a REST request that takes longer is answered 504, and a run that does is ended (default: %(default)s)",
    )
    add("--model_name", default="", metavar="NAME", help="name of the model (default: default)")
    add("--model_base_path", default="", metavar="DIR", help="directory of its versions, an absolute path")
    add(
        "--model_config_file",
        type=Path,
        metavar="FILE",
        help="several models, in TensorFlow Serving's ModelServerConfig",
    )
    add(
        "--model_config_file_poll_wait_seconds",
        type=_seconds,
        default=0,
        metavar="S",
        help="seconds between looks at that file; 0 means it is read once (default: %(default)s)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=_seconds,
        default=1,
        metavar="S",
        help="seconds between looks for new versions; 0 means no look after the first (default: %(default)s)",
    )
    add(
        "--max_num_load_retries",
        type=_count,
        default=5,
        metavar="N",
        help="of a version that cannot be loaded (default: %(default)s)",
    )
    add(
        "--load_retry_interval_micros",
        type=_count,
        default=60_000_000,
        metavar="US",
        help="between them (default: %(default)s)",
    )
    add(
        "--allow_version_labels_for_unavailable_models",
        **_switch(),
        help="let a new label point to a version that is not served yet",
    )
    add("--monitoring_config_file", type=Path, metavar="FILE", help="whether and where to show metrics for Prometheus")
    add("--enable_batching", **_switch(), help="run requests that come together together")
    add("--batching_parameters_file", type=Path, metavar="FILE", help="how, in TensorFlow Serving's BatchingParameters")
    add(
        "--max_body_bytes",
        type=_at_least_1,
        default=64 * 2**20,
        metavar="N",
        help="a larger request is refused (default: %(default)s)",
    )
    add(
        "--max_rows",
        type=_at_least_1,
        default=20000,
        metavar="N",
        help="a request of more rows is refused (default: %(default)s)",
    )
    add(
        "--max_waiting",
        type=_at_least_1,
        default=1000,
        metavar="N",
        help="runs that may wait, each of a request or of a batch; more are refused (default: %(default)s)",
    )
    add(
        "--drain_seconds",
        type=_seconds,
        default=10,
        metavar="S",
        help="on SIGTERM, time for requests under way to end (default: %(default)s)",
    )


def options_of(args: argparse.Namespace) -> Options:
    """The options, if they go together.

    Raises:
      ServingError: if they do not.
    """
    options = Options(**{name: getattr(args, name) for name in Options.__annotations__})
    if options.model_config_file and (options.model_base_path or options.model_name):
        raise invalid("--model_config_file names the models: it does not go with --model_name or --model_base_path")
    if not options.model_config_file and not options.model_base_path:
        raise invalid("nothing to serve: give --model_base_path (and --model_name), or --model_config_file")
    if options.model_config_file_poll_wait_seconds and not options.model_config_file:
        raise invalid("--model_config_file_poll_wait_seconds: there is no --model_config_file to look at")
    if options.batching_parameters_file and not options.enable_batching:
        raise invalid("--batching_parameters_file needs --enable_batching")
    if options.port == options.rest_api_port != 0:
        raise invalid(f"--port and --rest_api_port are both {options.port}: gRPC and REST need a port each")
    return options


def _switch() -> dict:
    """A flag that may stand alone or have a value, as `--flag` or `--flag=true`."""
    return {"type": _truth, "nargs": "?", "const": True, "default": False, "metavar": "true|false"}


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text.lower() in ("true", "1")


def _port(text: str) -> int:
    value = _count(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..65535")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value
