"""The endpoint as a process: ports, threads, signals."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serving import config
from serving.errors import ServingError
from serving.flags import Options
from serving.metrics import Metrics
from serving.versions import LoadModel, Versions

if TYPE_CHECKING:
    import uvicorn

    from serving.human_evaluation import Guessing
    from serving.predictor import Predictor

logger = logging.getLogger("serving")


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
    # What TensorFlow and its plug-ins say on loading is for no one who serves.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    _allow_many_files()
    models = (
        config.read_models(options.model_config_file)
        if options.model_config_file
        else config.one_model(options.model_name or "default", options.model_base_path)
    )
    batching = None
    if options.enable_batching:
        file = options.batching_parameters_file
        batching = config.read_batching(file) if file else config.BatchingParameters()
    metrics_path = config.read_metrics_path(options.monitoring_config_file) if options.monitoring_config_file else None
    metrics = Metrics()
    versions = Versions(
        models,
        metrics,
        poll_seconds=options.file_system_poll_wait_seconds,
        retries=options.max_num_load_retries,
        retry_seconds=options.load_retry_interval_micros / 1e6,
        label_unavailable=options.allow_version_labels_for_unavailable_models,
    )
    # Ports are taken before TensorFlow is loaded, so that one that is in use is told at once.
    rest_socket = _bound(options.host, options.rest_api_port, "--rest_api_port")
    grpc_socket = _bound(options.host, options.port, "--port")

    def loader() -> LoadModel:
        from serving.model import Model

        gc.freeze()  # TensorFlow stays: to look through it takes a quarter of a second, each time a version is closed
        return partial(Model, timeout_ms=options.rest_api_timeout_in_ms)

    manager = threading.Thread(target=versions.run, args=(loader,), name="versions", daemon=True)
    manager.start()

    from serving.batching import Batching, OneByOne  # TensorFlow is loaded from here on
    from serving.predictor import Predictor

    threads = 2 * (os.cpu_count() or 1)
    runner = Batching(batching, metrics) if batching else OneByOne(threads, options.max_waiting)
    predictor = Predictor(versions, runner, metrics, options.max_rows)
    drained = asyncio.run(_serve(options, predictor, guessing, metrics_path, rest_socket, grpc_socket, told))
    runner.close()
    manager.join(timeout=5)
    if not drained:
        logger.warning("requests were still under way after %g s", options.drain_seconds)
        sys.stdout.flush()
        os._exit(1)  # a thread in the middle of a run cannot be ended
    return 0


async def _serve(
    options: Options,
    predictor: "Predictor",
    guessing: "Guessing | None",
    metrics_path: str | None,
    rest_socket: socket.socket,
    grpc_socket: socket.socket,
    told: Callable[[str], None],
) -> bool:
    """Serves until a signal comes; returns whether all requests have ended."""
    from serving import grpc_api, rest, ui

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
    http_server = _http_server(app, options.drain_seconds)
    http = asyncio.create_task(http_server.serve(sockets=[rest_socket]))
    files = asyncio.create_task(_reload(options, predictor.versions))
    rest_socket.listen(2048)  # from here on a client may come, even if the server's own task has not begun
    rest_address = _address(options.host, rest_socket.getsockname()[1])
    told(f"REST on http://{rest_address}, gRPC on {_address(options.host, grpc_port)}")

    await stop.wait()
    logger.info("stopping: what is under way has %g s to end", options.drain_seconds)
    files.cancel()
    http_server.should_exit = True
    try:
        async with asyncio.timeout(options.drain_seconds + 1):
            await asyncio.gather(grpc_server.stop(options.drain_seconds), http)
    except TimeoutError:
        return False
    finally:
        predictor.versions.stop()
    return predictor.idle()


def _http_server(app: object, drain_seconds: float) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # they are ours

    return Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
        )
    )


async def _reload(options: Options, versions: Versions) -> None:
    """Takes over the file of models whenever it has changed; one that is wrong is told and changes nothing."""
    file, seconds = options.model_config_file, options.model_config_file_poll_wait_seconds
    if file is None or not seconds:
        return
    last = _text_of(file)
    while True:
        await asyncio.sleep(seconds)
        text = await asyncio.to_thread(_text_of, file)
        if text == last:
            continue
        last = text
        try:
            await asyncio.to_thread(versions.reload, config.read_models(file))
            logger.info("%s: taken over", file)
        except ServingError as error:
            logger.error("%s: %s", file, error.message)


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _bound(host: str, port: int, flag: str) -> socket.socket:
    """A socket that has the port and does not listen yet."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
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
