"""The endpoint as a process: ports, threads, signals."""

import asyncio
import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from serving import config
from serving.errors import ServingError
from serving.flags import Options
from serving.metrics import Metrics
from serving.versions import Versions

if TYPE_CHECKING:
    from serving.human_evaluation import Guessing
    from serving.predictor import Predictor

logger = logging.getLogger("serving")
BACKLOG = 2048  # connections that wait to be taken


def serve(options: Options, told: Callable[[str], None] = print, guessing: "Guessing | None" = None) -> int:
    """Serves until SIGTERM or SIGINT; a second one ends it at once.

    Args:
      options: what the flags say.
      told: takes one line, where the endpoint listens, when it does.
      guessing: of "real or made?" on the page, where there are real images.

    Returns:
      0, or 1 if requests were still under way at the end.

    Raises:
      ServingError: if a file is wrong or a port in use.
    """
    _log_to_stderr()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until there is something to drain
    # What TensorFlow and its plug-ins say on loading is for no one who serves.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    _allow_many_files()
    file = options.model_config_file
    text = _text_of(file) if file else None  # before it is read: what changes later is seen
    models = (
        config.read_models(file) if file else config.one_model(options.model_name or "default", options.model_base_path)
    )
    batching = None
    if options.enable_batching:
        parameters = options.batching_parameters_file
        batching = config.read_batching(parameters) if parameters else config.BatchingParameters()
    metrics_path = config.read_metrics_path(options.monitoring_config_file) if options.monitoring_config_file else None
    metrics = Metrics()
    retry_seconds = options.load_retry_interval_micros / 1e6
    versions = Versions(
        models,
        metrics,
        poll_seconds=options.file_system_poll_wait_seconds,
        retries=options.max_num_load_retries,
        retry_seconds=retry_seconds,
        label_unavailable=options.allow_version_labels_for_unavailable_models,
    )
    # Ports are taken before TensorFlow is loaded, so that one that is in use is told at once.
    rest_socket = _bound(options.host, options.rest_api_port, "--rest_api_port")
    grpc_socket = _bound(options.host, options.port, "--port")

    versions.look(None)  # says what is missing before TensorFlow is loaded, which takes seconds
    # All is imported before there are threads: two that import at once can wait for each other for ever.
    from serving import grpc_api, http_server, rest, ui  # noqa: F401
    from serving.batching import Batching, OneByOne
    from serving.model import Model
    from serving.predictor import Predictor

    gc.freeze()  # TensorFlow stays: to look through it takes a quarter of a second, each time a version is closed
    load_model = partial(Model, timeout_ms=options.rest_api_timeout_in_ms)
    manager = threading.Thread(target=versions.run, args=(load_model,), name="versions", daemon=True)
    manager.start()
    poll_seconds = options.model_config_file_poll_wait_seconds
    if file and poll_seconds:
        watched = (file, text, poll_seconds, retry_seconds, versions)
        threading.Thread(target=_watch, args=watched, name="models", daemon=True).start()

    threads = 2 * (os.cpu_count() or 1)
    runner = Batching(batching, metrics, options.max_waiting) if batching else OneByOne(threads, options.max_waiting)
    predictor = Predictor(versions, runner, metrics, options.max_rows)
    # A thread at work, which asyncio would wait for, cannot be ended alone: so the process ends, if need be.
    end = threading.Timer(options.drain_seconds + 2, _end_undrained, (options.drain_seconds,))
    end.daemon = True
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        drained = loop.run(_serve(options, predictor, guessing, metrics_path, rest_socket, grpc_socket, told, end))
    end.cancel()
    runner.close()
    manager.join(timeout=5)
    if not drained:
        _end_undrained(options.drain_seconds)
    return 0


def _end_undrained(drain_seconds: float) -> None:
    logger.warning("requests were still under way after %g s", drain_seconds)
    sys.stdout.flush()
    os._exit(1)


async def _serve(
    options: Options,
    predictor: "Predictor",
    guessing: "Guessing | None",
    metrics_path: str | None,
    rest_socket: socket.socket,
    grpc_socket: socket.socket,
    told: Callable[[str], None],
    end: threading.Timer,
) -> bool:
    """Serves until a signal comes, and starts `end` then; returns whether all requests have ended."""
    from serving import grpc_api, http_server, rest, ui

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: os._exit(130) if stop.is_set() else stop.set())

    grpc_server = grpc_api.server(predictor, options.max_body_bytes)
    grpc_port = grpc_socket.getsockname()[1]
    grpc_socket.close()  # gRPC takes no socket that is there already
    try:
        grpc_server.add_insecure_port(_address(options.host, grpc_port))
    except RuntimeError as error:
        raise ServingError("UNAVAILABLE", f"--port {grpc_port}: {error}") from None
    await grpc_server.start()
    app = rest.app(
        rest.Rest(predictor, options.rest_api_timeout_in_ms / 1000, options.max_body_bytes),
        (metrics_path, predictor.metrics.text) if metrics_path else None,
        ui.routes(predictor, guessing),
    )
    rest_server = http_server.server(app, options.drain_seconds)
    http = asyncio.create_task(rest_server.serve(sockets=[rest_socket]))
    rest_address = _address(options.host, rest_socket.getsockname()[1])
    told(f"REST on http://{rest_address}, gRPC on {_address(options.host, grpc_port)}")

    await stop.wait()
    logger.info("stopping: what is under way has %g s to end", options.drain_seconds)
    end.start()
    rest_server.should_exit = True
    try:
        async with asyncio.timeout(options.drain_seconds + 1):
            await asyncio.gather(grpc_server.stop(options.drain_seconds), http)
    except TimeoutError:
        return False
    finally:
        predictor.versions.stop()
    return predictor.idle()


def _watch(file: Path, last: str | None, seconds: float, retry_seconds: float, versions: Versions) -> None:
    """Takes over the file of models whenever it has changed since it was `last`, as long as the process lasts.

    One that is wrong is told and changes nothing; it is tried again, for what it names may come later.
    """
    again = math.inf
    while True:
        time.sleep(seconds)
        text = _text_of(file)
        if text == last and time.monotonic() < again:
            continue
        last, again = text, math.inf
        try:
            versions.reload(config.read_models(file))
            logger.info("%s: taken over", file)
        except ServingError as error:
            logger.error("%s: %s", file, error.message)
            again = time.monotonic() + retry_seconds


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _bound(host: str, port: int, flag: str) -> socket.socket:
    """A socket that has the port: it listens, for else another may take it; who calls before the server runs waits."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        raise ServingError("UNAVAILABLE", f"{flag}: {_address(host, port)}: {error.strerror}") from None
    return bound


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _allow_many_files() -> None:
    """A connection is an open file: as many as the machine allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
