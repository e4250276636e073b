"""Connections: how large the head of a request may be, and how long it may take."""

import asyncio

import pytest

from serving import http_server

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"


async def answer(scope, receive, send) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def talk(monkeypatch):
    """Runs a conversation with a server on a connection of its own; heads may take half a second there."""
    monkeypatch.setattr(http_server.Protocol, "head_seconds", 0.5)

    async def run(conversation):
        server = http_server.server(answer, 1)
        listening = await asyncio.get_running_loop().create_server(lambda: _protocol(server), "127.0.0.1", 0)
        try:
            async with asyncio.timeout(60):
                return await conversation(*await asyncio.open_connection(*listening.sockets[0].getsockname()))
        finally:
            listening.close()

    def _protocol(server):
        if not server.config.loaded:
            server.config.load()
        return http_server.Protocol(server.config, server.server_state, {})

    return lambda conversation: asyncio.run(run(conversation))


async def one(reader) -> bytes:
    """An answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split()[1] + b" " + await reader.read(2)


def test_requests_one_after_another_and_at_once(talk):
    async def conversation(reader, writer):
        answers = []
        for _ in range(3):
            writer.write(GET + b"\r\n")
            answers.append(await one(reader))
            await asyncio.sleep(0.3)
        writer.write(POST % (10**6, b"x" * 10**6) + GET)  # a large body, and half a head after it
        answers.append(await one(reader))
        writer.write(b"\r\n" + 2 * (GET + b"\r\n"))
        return answers + [await one(reader) for _ in range(3)]

    assert talk(conversation) == [b"200 ok"] * 7


@pytest.mark.parametrize("line", [b"X-A: " + b"a" * 70_000, b"X-A: a\r\n" * 9000], ids=["one", "many"])
def test_a_large_head_is_refused(talk, line):
    async def conversation(reader, writer):
        writer.write(GET)
        writer.write(line)
        return await one(reader)

    assert talk(conversation).startswith(b"400")


@pytest.mark.parametrize("first", [b"", GET, GET + b"\r\n" + GET], ids=["idle", "first", "second"])
def test_a_head_that_does_not_end_is_waited_for_so_long(talk, first):
    async def conversation(reader, writer):
        loop = asyncio.get_running_loop()
        start = loop.time()
        writer.write(first)
        while not reader.at_eof() and loop.time() < start + 30:
            if first:
                writer.write(b"a")
            try:
                async with asyncio.timeout(0.1):
                    await reader.read(1000)
            except (TimeoutError, ConnectionError):
                pass
        return reader.at_eof()

    assert talk(conversation)


def test_a_request_takes_as_long_as_it_takes(talk):
    async def conversation(reader, writer):
        writer.write(POST % (3, b"x"))
        for _ in range(2):
            await asyncio.sleep(0.5)
            writer.write(b"x")
        return await one(reader)

    assert talk(conversation) == b"200 ok"
