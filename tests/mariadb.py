"""A real database, for tests of what keeps its metadata in one."""

import getpass
import socket
import subprocess
import time
from pathlib import Path


class MariaDB:
    """A server on this machine, with a user `tailgan` who may do all to databases whose names begin with `tailgan`."""

    password = "s3cret / of % tests"

    def __init__(self, folder: Path):
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.start()
        for host in ("%", "localhost"):
            account = f"'tailgan'@'{host}'"
            self.sql(
                f"CREATE USER {account} IDENTIFIED VIA mysql_native_password USING PASSWORD('{self.password}');"
                f"GRANT ALL ON `tailgan%`.* TO {account};"
            )

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self._server = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--user={getpass.getuser()}", f"--datadir={self._folder}/data",
             f"--socket={self._folder}/socket", "--bind-address=127.0.0.1", f"--port={self.port}", "--skip-log-bin"],
            stdout=subprocess.DEVNULL, stderr=(self._folder / "log").open("ab"),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while subprocess.run(self._client("SELECT 1"), capture_output=True).returncode:
            assert time.monotonic() < deadline and self._server.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends the server at once, as a machine that dies does."""
        self._server.kill()
        self._server.wait()

    def sql(self, statement: str) -> str:
        """What the server answers to its administrator."""
        return subprocess.run(self._client(statement), check=True, capture_output=True, text=True).stdout

    def _client(self, statement: str) -> list[str]:
        return ["mariadb", "--no-defaults", "--user=root", f"--socket={self._folder}/socket", "--execute", statement]

    def uri(self, database: str) -> str:
        """Address of a database, made when it is first used."""
        return f"mysql://tailgan@127.0.0.1:{self.port}/{database}"
