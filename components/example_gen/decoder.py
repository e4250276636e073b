"""Decodes images in processes of their own, a few at a time.

Image files come from anywhere, and the libraries that decode them are large and written in C. So no encoded image is
decoded here, but by children (decoder_process.py) with bounds on time and memory: what kills one of them is told as
the fault of that one image. While they decode, this process reads and writes.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from components.example_gen.decoder_process import receive, send
from components.example_gen.images import BadImage, encode_png, ingest
from components.example_gen.options import DataOptions
from components.example_gen.sources import RawImage
from components.example_gen.split import content_hash

# One process cannot keep more than a few decoders busy.
_MOST_CHILDREN = 8
# A batch has so many images, or fewer of so many bytes.
_BATCH_IMAGES = 64
_BATCH_BYTES = 2**20
# More than a batch of PNGs of the largest `image_size` can be.
_MOST_ANSWERED = 2**27


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as it goes into an example.

    Attributes:
      content: 16 bytes that stand for its pixels.
      png: the PNG that holds them.
      mask: PNG of which pixels are missing; empty if nothing says so.
    """

    content: bytes
    png: bytes
    mask: bytes


class Decoder:
    """Decodes images in order, in as many processes as there are cores for; they start when they are first needed."""

    def __init__(self, options: DataOptions, children: int | None = None):
        """Starts nothing yet.

        Args:
          options: size, channels, way of resizing, and the bounds on pixels and seconds.
          children: how many processes; as many as there are cores for, if None, but not more than 8.
        """
        self._options = options
        self._most = children or min(len(os.sched_getaffinity(0)), _MOST_CHILDREN)
        self._idle: list[_Child] = []

    def decode(self, raws: Iterable[RawImage]) -> Iterator[tuple[RawImage, Decoded | BadImage]]:
        """Each image and what became of it, in the order in which they came.

        Raises:
          RuntimeError: if the processes cannot start.
        """
        under_way: deque[tuple[_Child | None, list[RawImage]]] = deque()
        try:
            for batch in _batches(raws):
                # The oldest child is given its next batch before the answers to its last one are dealt with.
                done = self._collect(*under_way.popleft()) if len(under_way) == self._most else []
                encoded = _encoded(batch)
                under_way.append((self._send(encoded) if encoded else None, batch))
                yield from done
            while under_way:
                yield from self._collect(*under_way.popleft())
        finally:
            # Only where something went wrong: an answer left in a pipe would be taken for the next one.
            for child, _ in under_way:
                if child:
                    child.end()

    def close(self) -> None:
        """Ends the processes."""
        while self._idle:
            self._idle.pop().end()

    def _collect(self, child: "_Child | None", batch: list[RawImage]) -> list[tuple[RawImage, Decoded | BadImage]]:
        answers = iter(self._answers(child, _encoded(batch)) if child else [])
        return [(raw, next(answers) if isinstance(raw.data, bytes) else self._here(raw.data)) for raw in batch]

    def _here(self, data: np.ndarray | BadImage) -> Decoded | BadImage:
        """Pixels are no danger."""
        if isinstance(data, BadImage):
            return data
        try:
            pixels, png, mask = ingest(data, self._options)
        except BadImage as error:
            return error
        return Decoded(content_hash(pixels, mask), png, b"" if mask is None else encode_png(mask))

    def _answers(self, child: "_Child", images: list[bytes]) -> list[Decoded | BadImage]:
        """What a child says of a batch; if it died of it, what others say of each image."""
        try:
            return self._receive(child, images)
        except _Died:
            # Which image it was is not known, nor whether it was one: the process may have been killed from outside.
            return [self._verdict(data) for data in images]

    def _verdict(self, data: bytes) -> Decoded | BadImage:
        try:
            return self._receive(self._send([data]), [data])[0]
        except _Died as death:
            return BadImage(str(death))

    def _send(self, images: list[bytes]) -> "_Child":
        child = self._idle.pop() if self._idle else _Child(self._options)
        child.send(images)
        return child

    def _receive(self, child: "_Child", images: list[bytes]) -> list[Decoded | BadImage]:
        try:
            answers = child.receive(images)
        except BaseException:
            child.end()
            raise
        self._idle.append(child)
        return answers


class _Died(Exception):
    """A child has ended before it answered; the message says of what."""


class _Child:
    """One process; it is sent a batch, then asked for the answers, in turn."""

    def __init__(self, options: DataOptions):
        self._seconds = options.max_seconds
        self._has_started = False
        # A file, for nobody reads a pipe while it starts, and a library that warns at length would fill it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        # Nothing of the working directory is imported (-P), but what is imported here is found there as well. In a
        # process group of its own, so that an interrupt from the terminal is for this process to see to.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "components.example_gen.decoder_process", options.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        )
        assert process.stdin and process.stdout
        self._process = process
        self._requests, self._replies = process.stdin, process.stdout

    def send(self, images: list[bytes]) -> None:
        # It reads the whole batch before it answers, so neither waits for the other.
        with suppress(BrokenPipeError):  # It is dead, which the answer will show.
            send(self._requests, images)

    def receive(self, images: list[bytes]) -> list[Decoded | BadImage]:
        """The answers to the images that were sent.

        Raises:
          _Died: if there are none.
          RuntimeError: if the process has not even started.
        """
        if not self._has_started:
            self._greet()
        try:
            parts = receive(self._replies, _MOST_ANSWERED)
        except ValueError as error:
            raise _Died(f"the decoder answered with {error}") from None
        if parts is None:
            raise _Died(self._end_of_it())
        if len(parts) != 4 * len(images):
            raise _Died(f"the decoder answered with {len(parts)} parts")
        return [
            BadImage(reason.decode()) if reason else Decoded(content, png or data, mask)
            for data, reason, content, png, mask in zip(images, *(parts[k::4] for k in range(4)), strict=True)
        ]

    def end(self) -> None:
        self._process.kill()
        for stream in (self._requests, self._replies, self._errors):
            with suppress(BrokenPipeError):  # What it had not read any more.
                stream.close()
        self._process.wait()

    def _greet(self) -> None:
        if receive(self._replies, _MOST_ANSWERED) is None:
            end = self._end_of_it()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            raise RuntimeError(f"the process that decodes images did not start; {end}: {said}")
        self._has_started = True

    def _end_of_it(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return f"decoding takes longer than max_seconds = {self._seconds:g}"
        if code < 0:
            return f"the decoder was killed by signal {-code} ({signal.strsignal(-code)})"
        return f"the decoder ended with exit code {code}"


def _batches(raws: Iterable[RawImage]) -> Iterator[list[RawImage]]:
    batch: list[RawImage] = []
    size = 0
    for raw in raws:
        batch.append(raw)
        size += len(raw.data) if isinstance(raw.data, bytes) else 0
        if len(batch) == _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encoded(batch: list[RawImage]) -> list[bytes]:
    return [raw.data for raw in batch if isinstance(raw.data, bytes)]
