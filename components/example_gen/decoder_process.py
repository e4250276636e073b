"""The process that decodes images: `python -m components.example_gen.decoder_process OPTIONS`, fed by decoder.py.

It reads messages of encoded images from its standard input and answers each with one message, four parts an image:
why it is bad (empty if it is not), the hash of its pixels, the PNG (empty if that is the image as it was sent), and the
PNG of its mask (empty if it has none).
Before the first it sends a message without parts, to say that it has started. It ends when its input does, so it does
not outlive who started it. Nothing here may import TensorFlow: a decoder starts in half a second.
"""

import os
import resource
import signal
import struct
import sys
from typing import IO

from components.example_gen.images import BadImage, encode_png, ingest
from components.example_gen.options import DataOptions
from components.example_gen.split import content_hash

# The most that an image of `max_pixels` was seen to take is 40 bytes a pixel (JPEG 2000, its encoding included); Python
# and libraries come on top.
_BYTES_A_PIXEL = 48
_BYTES_BESIDES = 2**30


def send(stream: IO[bytes], parts: list[bytes]) -> None:
    """Writes a message: how many parts, the length of each, and the parts. Bytes only, for what is read here may come
    from a process that a hostile image has taken over."""
    stream.write(struct.pack(f"<{1 + len(parts)}Q", len(parts), *map(len, parts)))
    stream.writelines(parts)
    stream.flush()


def receive(stream: IO[bytes], most: int | None = None) -> list[bytes] | None:
    """Reads a message; None where the stream ends before it does.

    Args:
      stream: what `send` writes to at the other end.
      most: the parts and all their bytes together are not more than this.

    Raises:
      ValueError: if they are.
    """
    count = _numbers(stream, 1)
    if count is None:
        return None
    if most is not None and count[0] > most:
        raise ValueError(f"a message of {count[0]} parts")
    sizes = _numbers(stream, count[0])
    if sizes is None:
        return None
    if most is not None and sum(sizes) > most:
        raise ValueError(f"a message of {sum(sizes)} bytes")
    parts = [stream.read(size) for size in sizes]
    return parts if sum(map(len, parts)) == sum(sizes) else None


def _numbers(stream: IO[bytes], count: int) -> tuple[int, ...] | None:
    data = stream.read(8 * count)
    return struct.unpack(f"<{count}Q", data) if len(data) == 8 * count else None


def _answer(data: bytes, options: DataOptions) -> tuple[bytes, bytes, bytes, bytes]:
    """Reason, hash of the pixels, PNG, PNG of the mask."""
    # Nothing handles the alarm: the kernel ends the process, wherever in a library it is.
    signal.setitimer(signal.ITIMER_REAL, options.max_seconds)
    try:
        pixels, png, mask = ingest(data, options)
    except BadImage as error:
        return str(error).encode(errors="replace"), b"", b"", b""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return b"", content_hash(pixels, mask), b"" if png is data else png, b"" if mask is None else encode_png(mask)


def _confine(options: DataOptions) -> None:
    """Bounds the memory, and leaves no core dumps behind."""
    # A process begins with the signals that its parent had blocked or ignored.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    for kind, most in (
        (resource.RLIMIT_AS, _BYTES_BESIDES + _BYTES_A_PIXEL * options.max_pixels),
        (resource.RLIMIT_CORE, 0),
    ):
        soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (min([most, *(n for n in (soft, hard) if n != resource.RLIM_INFINITY)]), hard))


def main() -> None:
    """Answers until the input ends."""
    options = DataOptions.model_validate_json(sys.argv[1])
    _confine(options)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    send(answers, [])
    # What libraries print about broken files would garble the answers, and tell a user nothing.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    parent = os.getppid()
    while (images := receive(sys.stdin.buffer)) is not None:
        parts: list[bytes] = []
        for data in images:
            if os.getppid() != parent:  # Nobody waits for the rest of the batch.
                return
            parts += _answer(data, options)
        send(answers, parts)


if __name__ == "__main__":
    main()
