"""The metadata store that tasks of a cluster share: named in their environment, and tried before anything heavy starts.

`TAILGAN_METADATA_URI` is `mysql://user@host:port/database` or `sqlite:////absolute/path`;
`TAILGAN_METADATA_PASSWORD` is the password.
"""

import os
import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.evaluator.constants import VERDICT_PROPERTY
from components.serving_validator.constants import BLESSED_PROPERTY
from pipeline.config import ConfigError
from pipeline.network import reach
from pipeline.store_address import FORMS, Address, parse

URI = "TAILGAN_METADATA_URI"
PASSWORD = "TAILGAN_METADATA_PASSWORD"
REFUSED = "refused_by_server"  # the verdict on what the gate blessed and the ServingValidator did not
_TRIES = 5  # two that set up an empty database at once get into each other's way, and one is told to try again


def connect(environ: Mapping[str, str] = os.environ) -> Any:
    """The connection that the environment names, once it has been tried.

    Returns:
      ConnectionConfig of ML Metadata.

    Raises:
      ConfigError: if nothing is named, or the store cannot be used; with host, port and cause.
    """
    if not environ.get(URI):
        raise ConfigError(f"{URI} is not set; it names the metadata store: {FORMS}")
    try:
        address = parse(environ[URI])
    except ValueError as error:
        raise ConfigError(f"{URI}: {error}") from None
    password = environ.get(PASSWORD, "")
    if address.path:
        _look_at_folder(Path(address.path).parent)
    else:
        _listen(address)
    config = _config(address, password)
    _open(config, address, bool(password))
    return config


def knows(connection: Any, pipeline: str) -> bool:
    """Whether a node of this pipeline was ever launched on a store."""
    import ml_metadata

    return ml_metadata.MetadataStore(connection).get_context_by_type_and_name("pipeline", pipeline) is not None


def evaluations(connection: Any, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the Evaluator found in runs, and whether a server refused what it blessed.

    Args:
      connection: as `connect` returns it.
      run_ids: as tasks were given them.

    Returns:
      For each run that came that far `verdict`, REFUSED among them, figures by the names that rules have for them, and
      `version`, the number of what it pushed, or None.
    """
    import ml_metadata

    store = ml_metadata.MetadataStore(connection)
    kinds = {kind.id: kind.name for kind in store.get_artifact_types()}
    found = {}
    for run_id in run_ids:
        context = store.get_context_by_type_and_name("pipeline_run", run_id)
        noted: dict[str, dict[str, Any]] = {}
        for artifact in store.get_artifacts_by_context(context.id) if context else ():
            properties = {key: _plain(value) for key, value in artifact.custom_properties.items()}
            noted.setdefault(kinds[artifact.type_id], {}).update(properties)
        evaluation, validation = noted.get("ModelEvaluation", {}), noted.get("InfraBlessing", {})
        if evaluation.get(VERDICT_PROPERTY) == "blessed" and validation.get(BLESSED_PROPERTY) == 0:
            evaluation[VERDICT_PROPERTY] = REFUSED
        pushed = noted.get("PushedModel", {}).get("pushed_version")
        evaluation["version"] = int(pushed) if pushed else None
        if VERDICT_PROPERTY in evaluation or pushed:
            found[run_id] = evaluation
    return found


def _plain(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _look_at_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{URI}: {folder} is no directory; is the volume mounted?")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{URI}: {folder} cannot be written; is the volume mounted read-only?")


def _listen(address: Address) -> None:
    """Waits for the greeting that a server of MySQL begins with; in its place it may say why it does not want us."""
    try:
        with reach(address.host, address.port) as connection:
            greeting = connection.recv(4096)
    except ConfigError as error:
        raise ConfigError(f"metadata store: {error}") from None
    except OSError as error:
        raise ConfigError(f"metadata store: {address.host}:{address.port} accepts and says nothing ({error})") from None
    # Length and number of the packet (4 bytes), then version 10 of the protocol, or 255, a number and a text.
    kind = greeting[4:5]
    if kind == b"\xff":
        told = greeting[7:].decode(errors="replace")
        raise ConfigError(f"metadata store: {address.host}:{address.port} refuses connections: {told}")
    if kind != b"\x0a":
        raise ConfigError(f"metadata store: what answers on {address.host}:{address.port} is no MySQL or MariaDB")


def _config(address: Address, password: str) -> Any:
    from ml_metadata.proto import metadata_store_pb2 as pb

    if address.path:
        sqlite = pb.SqliteMetadataSourceConfig(
            filename_uri=address.path, connection_mode=pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        )
        return pb.ConnectionConfig(sqlite=sqlite)
    mysql = pb.MySQLDatabaseConfig(
        host=address.host,
        port=address.port,
        database=address.database,
        user=address.user,
        password=password,
    )
    return pb.ConnectionConfig(mysql=mysql)


def _open(config: Any, address: Address, has_password: bool) -> None:
    """Opens the store once, as every node will; ML Metadata makes its tables where there are none."""
    import ml_metadata

    for tries_left in reversed(range(_TRIES)):
        try:
            ml_metadata.MetadataStore(config)
            return
        except (RuntimeError, ml_metadata.errors.StatusError) as error:
            if not (tries_left and isinstance(error, ml_metadata.errors.AbortedError)):
                raise ConfigError(f"metadata store: {_explain(str(error), address, has_password)}") from None
            time.sleep(random.random())


def _explain(told: str, address: Address, has_password: bool) -> str:
    first_line = told.partition("\n")[0]
    if "mysql_real_connect failed" in told:  # the server answers, and ML Metadata keeps to itself what it says
        given = f"the password in {PASSWORD}" if has_password else f"no password ({PASSWORD} is not set)"
        return (
            f"{address.host}:{address.port} answers, and refuses user `{address.user}` with {given}; besides a wrong "
            "name or password it may be that the account's plugin is not mysql_native_password"
        )
    if "library version" in told:
        return f"{address}: made by another version of ML Metadata than the one in this image ({first_line})"
    return f"{address}: {first_line}"
