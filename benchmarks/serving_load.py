"""Clients that ask a server for one image each, without a pause: `serving_load.py REST|gRPC HOST:PORT CLIENTS SECONDS`.

A process of its own, so that it shares no interpreter with what it measures, and as light as Python allows, for it
shares the processor: it sends the same bytes again and again and does not look into the answers beyond their status.
Prints, when all are connected and at the end, the seconds of processor time that it has taken, and at the end how
many requests were answered.
"""

import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable

PATH = "/v1/models/generator:predict"
METHOD = "/tensorflow.serving.PredictionService/Predict"
BODY = b'{"instances": [{"label": 3, "seed": 7}]}'


def grpc_request() -> bytes:
    """A PredictRequest with the same row as BODY, written by hand: TensorFlow takes seconds to load."""

    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    def entry(alias: bytes, value: int) -> bytes:
        one_dim = field(2, field(2, b"\x08\x01"))  # tensor_shape {dim {size: 1}}
        return field(2, field(1, alias) + field(2, b"\x08\x09" + one_dim + field(10, bytes([value]))))  # dtype: int64

    return field(1, field(1, b"generator")) + entry(b"label", 3) + entry(b"seed", 7)


def grpc_load(address: str, clients: int, seconds: float) -> int:
    """Each client has a thread and a connection; returns how many requests were answered."""
    import grpc

    request = grpc_request()
    channels = [grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(clients)]
    asks = [channel.unary_unary(METHOD) for channel in channels]  # bytes in, bytes out
    for ask in asks:
        ask(request, wait_for_ready=True, timeout=60)
    answered = [0] * clients
    end = begun() + seconds

    def work(i: int, ask: Callable[[bytes], bytes]) -> None:
        while time.perf_counter() < end:
            ask(request)
            answered[i] += 1

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(asks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered)


def rest_load(address: str, clients: int, seconds: float) -> int:
    """Each client has a connection, and one thread serves all; returns how many requests were answered."""
    host, _, port = address.rpartition(":")
    request = f"POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        connection = socket.create_connection((host, int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, bytearray())
        connection.sendall(request)
    answered = 0
    end = begun() + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(1):
            connection, received = key.fileobj, key.data  # type: ignore[assignment]
            received += connection.recv(2**16)
            if whole(received):
                answered += 1
                received.clear()
                connection.sendall(request)
    return answered


def whole(received: bytearray) -> bool:
    """Whether that is all of a response; raises if it is another than 200, or the server has gone."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end and received:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(bytes(received[:200]))
    length = head[head.index(b"content-length: ") + 16 :].split(b"\r\n", 1)[0]
    return len(body) == int(length)


def begun() -> float:
    """Tells that all are connected; returns the time."""
    print("begun", time.process_time(), flush=True)
    return time.perf_counter()


def main() -> None:
    kind, address, clients, seconds = sys.argv[1:]
    answered = (rest_load if kind == "REST" else grpc_load)(address, int(clients), float(seconds))
    print("ended", time.process_time(), answered, flush=True)


if __name__ == "__main__":
    main()
