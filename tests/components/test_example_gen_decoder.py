"""Hostile images cost themselves, their time and memory are bounded, and everything else comes through in order."""

import io
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.example_gen import decoder as decoder_module
from components.example_gen.decoder import Decoded, Decoder
from components.example_gen.images import BadImage, ingest, is_plain_png
from components.example_gen.options import DataOptions
from components.example_gen.sources import RawImage
from components.example_gen.split import content_hash

# Put before everything that a decoder imports: images that begin so do to it what a fault in a library would.
HOSTILE = """
import os, signal, time
from components.example_gen import images

def open_(data, formats, max_pixels, real=images._open):
    if data.startswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"exit"):
        os._exit(3)
    if data.startswith(b"sleep"):
        time.sleep(60)
    if data.startswith(b"slow"):
        time.sleep(0.5)
    if data.startswith(b"loop"):
        sum(range(10**12))
    if data.startswith(b"memory"):
        hoard = [bytes(2**28) for _ in range(10**6)]
    if data.startswith(b"print"):
        os.write(1, b"x" * 1000), os.write(2, b"y" * 10**6)
        data = data.removeprefix(b"print")
    if data.startswith(b"once"):
        name = data[4:].decode()
        if not os.path.exists(name):
            open(name, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        data = b""
    return real(data, formats, max_pixels)

images._open = open_
"""
OPTIONS = DataOptions(image_size=8, max_pixels=10**6, max_seconds=1)


def encode(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def pictures(number):
    rng = np.random.default_rng(0)
    return [encode(Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8))) for _ in range(number)]


def decode(data, children=2, options=OPTIONS):
    """Results of so many images, which have to come back in the order in which they were sent."""
    decoder = Decoder(options, children)
    try:
        results = list(decoder.decode(RawImage(str(i), 0, one) for i, one in enumerate(data)))
    finally:
        decoder.close()
    assert [raw.key for raw, _ in results] == [str(i) for i in range(len(data))]
    return [result for _, result in results]


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path / "site")


def test_results_are_those_of_ingest_whatever_the_number_of_processes():
    data = pictures(300)
    expected = []
    for one in data:
        pixels, png, _ = ingest(one, OPTIONS)
        expected.append(Decoded(content_hash(pixels), png, b""))
    for children in (1, 2, 5):
        assert decode(data, children) == expected


def test_pixels_and_what_could_not_be_read_keep_their_places_and_need_no_process(monkeypatch):
    pixels, fault = np.full((8, 8), 7, np.uint8), BadImage("unreadable")
    mixed = decode([pixels, pictures(1)[0], fault, pixels])
    assert mixed[0] == mixed[3] and mixed[2] is fault and mixed[0].content == content_hash(pixels[:, :, None])
    monkeypatch.setattr(subprocess, "Popen", None)
    assert decode([pixels, fault]) == [mixed[0], fault]


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (b"crash", "the decoder was killed by signal 11 (Segmentation fault)"),
        (b"exit", "the decoder ended with exit code 3"),
        (b"sleep", "decoding takes longer than max_seconds = 1"),
        (b"loop", "decoding takes longer than max_seconds = 1"),
        (b"memory", "decoding takes more memory than max_pixels allows for"),
    ],
)
def test_an_attack_costs_that_file_and_no_other(hostile, attack, reason):
    data = pictures(150)
    places = (0, 70, 149)
    attacked = [attack if i in places else one for i, one in enumerate(data)]
    results, unharmed = decode(attacked), decode(data)
    for i in places:
        assert isinstance(results[i], BadImage) and str(results[i]) == reason
        results[i] = unharmed[i]
    assert results == unharmed


def test_what_a_library_prints_garbles_no_answer(hostile):
    data = pictures(3)
    assert decode([data[0], b"print" + data[1], data[2]]) == decode(data)


def test_a_decoder_killed_from_outside_costs_no_image(hostile, tmp_path):
    data = pictures(10)
    results = decode([*data, b"once" + os.fsencode(tmp_path / "seen"), *data], children=1)
    assert results[:10] == results[11:] == decode(data) and str(results[10]) == "an empty file"


def test_a_decoder_that_cannot_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nprint('no such library', file=sys.stderr)\nsys.exit(5)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)images did not start; .*ended with exit code \d+: .*no such library"):
        decode(pictures(1))


def test_a_decoder_whose_libraries_warn_at_length_starts_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nprint('beware ' * 50_000, file=sys.stderr)")
    expected = decode(pictures(3))
    monkeypatch.syspath_prepend(tmp_path)
    assert decode(pictures(3)) == expected


def test_results_that_nobody_asks_for_are_not_taken_for_others():
    data = pictures(400)
    decoder = Decoder(OPTIONS, 2)
    some = decoder.decode(RawImage("", 0, one) for one in data)
    next(some)
    some.close()
    rest = [result for _, result in decoder.decode(RawImage("", 0, one) for one in reversed(data))]
    decoder.close()
    assert rest == decode(data)[::-1]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_decoder_outlives_who_started_it(hostile, end):
    program = f"""
import signal
from components.example_gen.decoder import Decoder
from components.example_gen.options import DataOptions
from components.example_gen.sources import RawImage
signal.signal(signal.SIGINT, signal.default_int_handler)
images = {pictures(100)!r} + [b"slow"] * 200
for _ in Decoder(DataOptions(image_size=8, max_seconds=5), 2).decode(RawImage("", 0, data) for data in images):
    pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    limit = time.monotonic() + 60
    while len(children := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) < 2:
        assert time.monotonic() < limit
        time.sleep(0.1)
    time.sleep(1)
    assert all(map(alive, children))
    process.send_signal(end)
    process.wait(timeout=10)
    limit = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not any(map(alive, children))


def test_what_a_decoder_imports_is_light():
    program = "import sys, components.example_gen.decoder_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "PIL" in loaded and not loaded & {"tensorflow", "tfx", "apache_beam", "sklearn", "pandas", "keras"}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, *chunks, depth=8, colour=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(2**28), 9)  # 256 MiB in 260 kB


@pytest.mark.parametrize(
    "data",
    [
        png(8, 8, chunk(b"zTXt", b"a\0\0" + BOMB), chunk(b"IDAT", zlib.compress(bytes(72)))),
        png(8, 8, chunk(b"iCCP", b"a\0\0" + BOMB), chunk(b"IDAT", zlib.compress(bytes(72)))),
        png(8, 8, *[chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(10**6)))] * 200),
        png(8, 8, chunk(b"IDAT", BOMB)),
        png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", BOMB)),
        b"II*\0\x08\0\0\0" + b"\xff\xff" + b"\xfe\0\x04\0\xff\xff\xff\xff\0\0\0\0" * 65535,
        b"II*\0\x08\0\0\0\x01\0\xfe\0\x04\0\1\0\0\0\0\0\0\0\x08\0\0\0",  # its second directory is its first
        b"P6 1000000000 1000000000 255\n",
        encode(Image.new("L", (9, 9)), "GIF")[:6] + b"\xff\xff\xff\xff" + encode(Image.new("L", (9, 9)), "GIF")[10:],
        encode(Image.new("L", (9, 9)), "JPEG2000").replace(struct.pack(">II", 9, 9), struct.pack(">II", 2**30, 2**30)),
    ],
    ids=["zTXt", "iCCP", "iTXt", "IDAT", "size", "tags", "directories", "PPM", "GIF", "JPEG 2000"],
)
def test_bombs_cost_neither_time_nor_memory(data):
    start = time.monotonic()
    before, result, after = decode([pictures(1)[0], data, pictures(1)[0]], options=DataOptions(image_size=8))
    assert time.monotonic() - start < 5
    assert before == after
    assert isinstance(result, BadImage) or tf.io.decode_png(result.png).shape == (8, 8, 1)


def mutated(data, rng):
    """One image damaged in one to three ways."""
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(data)), rng.randint(1, 64)
        match rng.randrange(7):
            case 0:
                data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[: at + 1]
            case 2:  # a piece of it twice, or elsewhere
                to = rng.randrange(len(data))
                data = data[:to] + data[at : at + length] + data[to:]
            case 3:  # lengths and sizes, in the header mostly
                at = rng.choice((at, rng.randrange(min(64, len(data)))))
                number = rng.choice((0, 1, 255, 65535, 2**31 - 1, 2**32 - 1, rng.randrange(2**32)))
                data = data[:at] + struct.pack(rng.choice("<>") + "I", number) + data[at + 4 :]
            case 4:
                data = data[:at] + rng.randbytes(length) + data[at:]
            case 5:
                data = data[:at] + data[at + length :]
            case _:
                data = data[:at] + rng.randbytes(length) + data[at + length :]
        data = data or b"\0"
    if data.startswith(b"\x89PNG") and rng.random() < 0.5:
        data = with_right_checksums(data)
    return data


def with_right_checksums(data):
    """What lies behind the checksums of a PNG is reached by those who get them right."""
    position, out = 8, data[:8]
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        out += data[position:end] + struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return out


def seeds():
    """Valid files of every kind, in several modes and sizes."""
    rng = np.random.default_rng(1)
    for side in (1, 8, 40):
        colour = Image.fromarray(rng.integers(0, 256, (side, side + side // 2, 3), np.uint8))
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"):
            if mode == "I;16":
                image = Image.fromarray(rng.integers(0, 2**16, (side, side), np.uint16))
            else:
                image = colour.convert(mode)
            for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"):
                try:
                    yield encode(image, kind)
                except (OSError, ValueError):  # This kind of file has no such mode.
                    continue
        yield encode(colour, "TIFF", compression="tiff_lzw")
        yield encode(colour, "TIFF", compression="tiff_deflate")
        yield encode(colour, "JPEG", progressive=True)
        yield encode(colour, "GIF", save_all=True, append_images=[colour.rotate(90)])
        yield encode(colour, "WEBP", save_all=True, append_images=[colour.rotate(90)])
    yield encode(Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)))


def test_ten_thousand_damaged_files_are_each_answered_in_order_and_soon():
    rng, valid = random.Random(0), list(seeds())
    assert len(valid) > 100
    damaged = [mutated(rng.choice(valid), rng) for _ in range(10_000)]
    started = time.monotonic()
    results = decode(damaged, children=3, options=DataOptions(image_size=8, max_seconds=2))
    assert time.monotonic() - started < 60
    reasons = [str(result) for result in results if isinstance(result, BadImage)]
    assert 2000 < len(reasons) < 9900 and all(reasons)
    assert not [reason for reason in reasons if "max_seconds" in reason]
    for data, result in zip(damaged, results, strict=True):
        if isinstance(result, Decoded):
            assert len(result.content) == 16 and tf.io.decode_png(result.png).shape == (8, 8, 1)
            if is_plain_png(data, 8, 8, 1):
                assert result.png == data


def test_batches_are_bounded_in_bytes():
    large = [RawImage("", 0, bytes(600_000))] * 5
    assert [len(batch) for batch in decoder_module._batches(large)] == [2, 2, 1]
