"""A response's JSON out of tensors, laid out as TensorFlow Serving does it: by column in lines, by row on one line."""

import base64
import math
from collections.abc import Mapping

import numpy as np

from serving.errors import invalid

BYTES_SUFFIX = "_bytes"  # an output whose alias ends so is given in base64
_ESCAPED = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord(character): "\\" + letter for character, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}
_NO_JSON = {"float16": "half", "bfloat16": "bfloat16", "uint16": "uint16", "complex64": "complex64"}


def quoted(text: bytes) -> bytes:
    """A JSON string of bytes, which are taken as UTF-8 and not checked."""
    return b'"' + text.decode("latin-1").translate(_ESCAPED).encode("latin-1") + b'"'


def error_json(message: str) -> bytes:
    """The body of a refusal."""
    return b'{\n    "error": %s\n}' % quoted(message.encode("utf-8", "surrogateescape"))


def answer(outputs: Mapping[str, np.ndarray], by_row: bool) -> bytes:
    """The body of a response.

    Args:
      outputs: {alias: array}; strings are arrays of bytes objects.
      by_row: whether the request came by row.

    Raises:
      ServingError: if there is no JSON for them.
    """
    return _rows(outputs) if by_row else _columns(outputs)


def _columns(outputs: Mapping[str, np.ndarray]) -> bytes:
    several = len(outputs) > 1
    depth = 2 if several else 1
    texts = {
        alias: _nested(_leaves(alias, array, depth + array.ndim), array.shape, depth, b"\n")
        for alias, array in outputs.items()
    }
    if not several:
        (text,) = texts.values()
        return b'{\n    "outputs": %s\n}' % text
    members = b",\n".join(_pad(2) + quoted(alias.encode()) + b": " + text for alias, text in texts.items())
    return b'{\n    "outputs": {\n%s\n    }\n}' % members


def _rows(outputs: Mapping[str, np.ndarray]) -> bytes:
    rows = None
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if rows not in (None, len(array)):
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)
    several = len(outputs) > 1
    depth = 3 if several else 2
    items = {}
    for alias, array in outputs.items():
        leaves = _leaves(alias, array, depth + array.ndim - 1)
        size = math.prod(array.shape[1:])
        items[alias] = [
            _nested(leaves[row * size : (row + 1) * size], array.shape[1:], depth, b" ") for row in range(len(array))
        ]
    if not rows:
        return b'{\n    "predictions": []\n}'
    if not several:
        (texts,) = items.values()
        return b'{\n    "predictions": [%s\n    ]\n}' % b", ".join(texts)
    heads = [_pad(3) + quoted(alias.encode()) + b": " for alias in items]
    objects = (
        b"\n        {\n%s\n        }" % b",\n".join(head + text for head, text in zip(heads, texts, strict=True))
        for texts in zip(*items.values(), strict=True)
    )
    return b'{\n    "predictions": [%s\n    ]\n}' % b",".join(objects)


def _pad(depth: int) -> bytes:
    return b"    " * depth


def _nested(texts: list[bytes], shape: tuple[int, ...], depth: int, gap: bytes) -> bytes:
    """Lists of lists of texts, on one line (`gap` is a space) or on many (a line feed)."""
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        groups = [texts[i * size : (i + 1) * size] for i in range(math.prod(shape[:axis]))]
        if gap == b" " or not size:
            texts = [b"[%s]" % b", ".join(group) for group in groups]
        else:
            inner, outer = b"\n" + _pad(depth + axis + 1), b"\n" + _pad(depth + axis)
            texts = [b"[%s%s%s]" % (inner, (b"," + inner).join(group), outer) for group in groups]
    return texts[0]


def _leaves(alias: str, array: np.ndarray, depth: int) -> list[bytes]:
    """The text of every element; `depth` counts what encloses it."""
    values = array.ravel()
    kind = array.dtype.name
    if kind == "object" and alias.endswith(BYTES_SUFFIX):
        head, tail = b'{\n%s"b64": "' % _pad(depth + 1), b'"\n%s}' % _pad(depth)
        return [head + base64.b64encode(value) + tail for value in values]
    if kind == "object":
        return [quoted(value) for value in values]
    if kind == "bool":
        return [b"true" if value else b"false" for value in values]
    if kind in ("float32", "float64"):
        return _decimals(values)
    if kind not in _NO_JSON and values.dtype.kind in "iu":
        return [b"%d" % value for value in values.tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {_NO_JSON.get(kind, kind)}")


def _decimals(values: np.ndarray) -> list[bytes]:
    """Each in six digits if it reads back as itself from these, else in as many as its type may need."""
    digits = 9 if values.dtype == np.float32 else 17
    numbers = values.tolist()
    texts = [f"{number:.6g}" for number in numbers]
    exact = np.array([float(text) for text in texts], np.float64).astype(values.dtype) == values
    return [
        _decimal(text if same else f"{number:.{digits}g}")
        for text, same, number in zip(texts, exact.tolist(), numbers, strict=True)
    ]


def _decimal(text: str) -> bytes:
    """Whole numbers end in `.0`; what is not finite has the names that TensorFlow Serving gives it."""
    if text[-1] in "nf":
        return {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}[text]
    if "." not in text and "e" not in text:
        text += ".0"
    return text.encode()
