"""The metadata store of a cluster: its address, and what is said when it cannot be used."""

import socket
import threading

import pytest

from pipeline import metadata
from pipeline.config import ConfigError
from pipeline.metadata import PASSWORD, URI
from pipeline.store_address import Address, parse


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mysql://tailgan@db:3307/store", Address(host="db", port=3307, user="tailgan", database="store")),
        ("mysql://a%40b@db/store", Address(host="db", port=3306, user="a@b", database="store")),
        ("sqlite:////data/m.db", Address(path="/data/m.db")),
        ("sqlite:///data/m.db", Address(path="/data/m.db")),
    ],
)
def test_an_address_is_read(uri, expected):
    assert parse(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (
            "postgres://a@db/store",
            "not an address of a metadata store: `postgres://a@db/store`; `mysql://user@host:port",
        ),
        ("mysql://db/store", "not an address"),
        ("mysql://a@db", "not an address"),
        ("mysql://a@db/store/more", "not an address"),
        ("mysql://a@db:x/store", "Port could not be cast"),
        ("mysql://a@db/store?ssl_mode=REQUIRED", "an address has no options"),
        ("sqlite://", "not an address"),
        ("", "not an address"),
        ("mysql://a:secret@db/store", "an address holds no password; the password comes from a secret"),
    ],
)
def test_what_is_no_address_is_refused_with_those_that_are(uri, expected):
    with pytest.raises(ValueError) as caught:
        parse(uri)
    assert expected in str(caught.value) and "secret@" not in str(caught.value)


def refused(**environ):
    with pytest.raises(ConfigError) as caught:
        metadata.connect(environ)
    return str(caught.value)


def test_a_store_that_is_not_named_is_asked_for():
    assert "TAILGAN_METADATA_URI is not set" in refused()


def test_a_file_is_made_and_opened(tmp_path):
    metadata.connect({URI: f"sqlite:///{tmp_path}/m.db"})
    config = metadata.connect({URI: f"sqlite:///{tmp_path}/m.db"})
    assert config.sqlite.filename_uri == str(tmp_path / "m.db") and (tmp_path / "m.db").stat().st_size
    assert metadata.evaluations(config, ["run"]) == {}


def test_a_file_on_a_volume_that_is_not_there_or_damaged_is_told(tmp_path):
    (tmp_path / "m.db").write_text("no database at all" * 500)
    assert f"{tmp_path}/none is no directory; is the volume mounted?" in refused(
        **{URI: f"sqlite:///{tmp_path}/none/m"}
    )
    assert "file is not a database" in refused(**{URI: f"sqlite:///{tmp_path}/m.db"})


def test_a_server_that_is_not_there_is_told_with_host_port_and_cause():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = refused(**{URI: f"mysql://a@127.0.0.1:{port}/store"})
    assert told == f"metadata store: 127.0.0.1:{port} cannot be reached: Connection refused"
    assert "nowhere.invalid:3306 cannot be reached: no such host" in refused(**{URI: "mysql://a@nowhere.invalid/store"})


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "is no MySQL or MariaDB"),
        (b"", "is no MySQL or MariaDB"),
        (b"\x2b\0\0\0\xff\x10\x04Too many connections", "refuses connections: Too many connections"),
        (None, "accepts and says nothing (timed out)"),
    ],
)
def test_a_server_that_is_another_or_does_not_want_us_is_told(says, expected, monkeypatch):
    monkeypatch.setattr("pipeline.network.reach.__defaults__", (0.2,))
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                if says is None:
                    done.wait(10)
                else:
                    connection.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        told = refused(**{URI: f"mysql://a@127.0.0.1:{server.getsockname()[1]}/store"})
        done.set()
        thread.join()
    assert expected in told and "127.0.0.1:" in told


class TestServer:
    """A real one."""

    def test_it_is_opened_with_the_password_of_the_secret(self, mariadb):
        config = metadata.connect({URI: mariadb.uri("tailgan_new"), PASSWORD: mariadb.password})
        assert "MLMDEnv" in mariadb.sql("SHOW TABLES IN tailgan_new")
        assert metadata.evaluations(config, ["run"]) == {}

    def test_a_wrong_password_and_none_are_told(self, mariadb):
        uri = mariadb.uri("tailgan_new")
        told = refused(**{URI: uri, PASSWORD: "guess"})
        assert f"127.0.0.1:{mariadb.port} answers, and refuses user `tailgan` with the password in {PASSWORD}" in told
        assert "guess" not in told
        assert f"with no password ({PASSWORD} is not set)" in refused(**{URI: uri})

    def test_a_database_of_others_is_told(self, mariadb):
        told = refused(**{URI: mariadb.uri("others"), PASSWORD: mariadb.password})
        assert "Access denied for user 'tailgan'" in told and "database `others` on 127.0.0.1" in told

    def test_a_newer_schema_is_told(self, mariadb):
        environ = {URI: mariadb.uri("tailgan_newer"), PASSWORD: mariadb.password}
        metadata.connect(environ)
        mariadb.sql("UPDATE tailgan_newer.MLMDEnv SET schema_version = 99")
        told = refused(**environ)
        assert "made by another version of ML Metadata" in told and "version 99 is greater than library version" in told
