"""The metadata store that tasks of a cluster share: named in their environment, and tried before anything heavy starts.

`TAILGAN_METADATA_URI` is `mysql://user@host:port/database` or `sqlite:////absolute/path`;
`TAILGAN_METADATA_PASSWORD` is the password.
"""

import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError
from pipeline.network import reach

URI = "TAILGAN_METADATA_URI"
PASSWORD = "TAILGAN_METADATA_PASSWORD"
_PORT = 3306
_FORMS = "`mysql://user@host:port/database` or `sqlite:////absolute/path`"
_TRIES = 5  # two that set up an empty database at once get into each other's way, and one is told to try again


@dataclass(frozen=True)
class Address:
    """Where a store is: a file (`path`), or a database on a server (all else)."""

    path: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""

    def __str__(self) -> str:
        return self.path or f"database `{self.database}` on {self.host}:{self.port}"


def parse(uri: str) -> Address:
    """Reads an address.

    Raises:
      ValueError: if it is none, is of another kind, or holds a password, which would be seen by all who see the pipeline.
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port or _PORT
    except ValueError as error:
        raise ValueError(f"not an address of a metadata store ({error}); {_FORMS}") from None
    if parts.password is not None:
        raise ValueError(f"an address holds no password; {PASSWORD} does, from a secret")
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.strip("/"):
        return Address(path="/" + urllib.parse.unquote(parts.path).lstrip("/"))
    database = parts.path.strip("/")
    if parts.scheme == "mysql" and parts.hostname and parts.username and database and "/" not in database:
        return Address(
            host=parts.hostname,
            port=port,
            user=urllib.parse.unquote(parts.username),
            database=urllib.parse.unquote(database),
        )
    raise ValueError(f"not an address of a metadata store: `{uri}`; {_FORMS}")


def connect(environ: Mapping[str, str] = os.environ) -> Any:
    """The connection that the environment names, once it has been tried.

    Returns:
      ConnectionConfig of ML Metadata.

    Raises:
      UserError: if nothing is named, or the store cannot be used; with host, port and cause.
    """
    if not environ.get(URI):
        raise UserError(f"{URI} is not set; it names the metadata store: {_FORMS}")
    try:
        address = parse(environ[URI])
    except ValueError as error:
        raise UserError(f"{URI}: {error}") from None
    password = environ.get(PASSWORD, "")
    if address.path:
        _look_at_folder(Path(address.path).parent)
    else:
        _listen(address)
    config = _config(address, password)
    _open(config, address, bool(password))
    return config


def _look_at_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{URI}: {folder} is no directory; is the volume mounted?")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{URI}: {folder} cannot be written; is the volume mounted read-only?")


def _listen(address: Address) -> None:
    """Waits for the greeting that a server of MySQL begins with; in its place it may say why it does not want us."""
    try:
        with reach(address.host, address.port) as connection:
            greeting = connection.recv(4096)
    except UserError as error:
        raise UserError(f"metadata store: {error}") from None
    except OSError as error:
        raise UserError(f"metadata store: {address.host}:{address.port} accepts and says nothing ({error})") from None
    # Length and number of the packet (4 bytes), then version 10 of the protocol, or 255, a number and a text.
    kind = greeting[4:5]
    if kind == b"\xff":
        told = greeting[7:].decode(errors="replace")
        raise UserError(f"metadata store: {address.host}:{address.port} refuses connections: {told}")
    if kind != b"\x0a":
        raise UserError(f"metadata store: what answers on {address.host}:{address.port} is no MySQL or MariaDB")


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
                raise UserError(f"metadata store: {_explain(str(error), address, has_password)}") from None


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
