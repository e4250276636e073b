"""Whether a server can be reached, and if not, why: the libraries that talk to it take minutes, and do not say."""

import socket

from pipeline.config import ConfigError

SECONDS = 10.0  # that a server may take to answer


def reach(host: str, port: int, seconds: float = SECONDS) -> socket.socket:
    """An open connection, whose reads wait no longer either.

    Raises:
      ConfigError: with host, port and cause, if there is none in this time.
    """
    try:
        return socket.create_connection((host, port), seconds)
    except TimeoutError:
        cause = f"no answer in {seconds:.0f} s"
    except socket.gaierror as error:
        cause = f"no such host ({error.strerror})"
    except OSError as error:
        cause = str(error.strerror or error)
    raise ConfigError(f"{host}:{port} cannot be reached: {cause}")
