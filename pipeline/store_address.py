"""Where a metadata store is, as an address that may be seen by all who see a pipeline."""

import urllib.parse
from dataclasses import dataclass

FORMS = "`mysql://user@host:port/database` or `sqlite:////absolute/path`"
_PORT = 3306


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
      ValueError: if it is none, is of another kind, or holds a password.
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port or _PORT
    except ValueError as error:
        raise ValueError(f"not an address of a metadata store ({error}); {FORMS}") from None
    if parts.password is not None:
        raise ValueError("an address holds no password; the password comes from a secret")
    if parts.query or parts.fragment:
        raise ValueError(f"an address has no options, and `{uri}` has; {FORMS}")
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
    raise ValueError(f"not an address of a metadata store: `{uri}`; {FORMS}")
