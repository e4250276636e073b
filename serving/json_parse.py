"""JSON as TensorFlow Serving's parser (RapidJSON with NaN and Inf) takes it, and its words for what is wrong.

Python's parser differs: it knows no `Inf`, lets single surrogates and numbers beyond float64 pass, keeps the last of
equal keys, recurses, and words its errors in its own way. So it reads what it can, and what it cannot, or must not, is
read again, slowly, by `_read`.
"""

import json
import math
import re

from serving.errors import ServingError, invalid, shortened

BOM = b"\xef\xbb\xbf"
MAX_SHOWN = 2**14
MAX_DEPTH = 2**14  # of lists and objects in each other; one takes many times the memory of the byte that opens it
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SPACE = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]*)?")
_NOT_FINITE = re.compile(rb"(-?)(?:(NaN)|Inf(?:inity)?)")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}
_LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}


def parse(body: bytes) -> dict:
    """The object that a request's body holds.

    Integers in [-2^63, 2^64) are int, other numbers float. Bytes that are no UTF-8 are kept, as lone surrogates
    (`surrogateescape`). Of equal keys the first counts.

    Raises:
      ServingError: if it is not JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    body = body.removeprefix(BOM)
    try:
        document = _read(body) if _SURROGATE.search(body) else _DECODER.decode(_text(body))
    except (ValueError, RecursionError):
        document = _read(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def show(value: object) -> str:
    """A value as TensorFlow Serving quotes it in an error, up to `MAX_SHOWN` bytes."""
    if isinstance(value, float) and math.isfinite(value):
        text = f"{value:.6g}" if float(f"{value:.6g}") == value else f"{value:.9g}"
        return text if "." in text or "e" in text else text + ".0"
    text = ""
    for part in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > MAX_SHOWN:
            break
    return shortened(text, MAX_SHOWN)


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _integer(text: str) -> int | float:
    if len(text) < 19:
        return int(text)
    if len(text) < 21 and -(2**63) <= (value := int(text)) < 2**64:
        return value
    return _float(text)


def _object(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    return {key: value for key, value in reversed(pairs)}


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_integer)


def _wrong(what: str, offset: int) -> ServingError:
    return invalid(f"JSON Parse error: {what} at offset: {offset}")


def _match(everywhere: re.Pattern[bytes], body: bytes, at: int) -> bytes:
    """What a pattern that matches everywhere, if only nothing, matches here."""
    found = everywhere.match(body, at)
    return found[0] if found else b""


def _skip(body: bytes, at: int) -> int:
    return at + len(_match(_SPACE, body, at))


def _read(body: bytes) -> object:
    """Reads a document without recursion."""
    at = _skip(body, 0)
    if at == len(body):
        raise _wrong("The document is empty.", at)
    open_containers: list[list | dict] = []
    keys: list[str] = []  # of the members being read, one for each open object
    while True:
        if len(open_containers) > MAX_DEPTH:
            raise _wrong(f"More than {MAX_DEPTH} lists or objects in each other", at)
        value: object
        start = body[at : at + 1]
        if start == b"{":
            at = _skip(body, at + 1)
            if body[at : at + 1] != b"}":
                open_containers.append({})
                key, at = _key(body, at)
                keys.append(key)
                continue
            value, at = {}, at + 1
        elif start == b"[":
            at = _skip(body, at + 1)
            if body[at : at + 1] != b"]":
                open_containers.append([])
                continue
            value, at = [], at + 1
        else:
            value, at = _scalar(body, at)
        # A value ends here, and with it perhaps the containers around it.
        while open_containers:
            container = open_containers[-1]
            if isinstance(container, dict):
                container.setdefault(keys.pop(), value)
            else:
                container.append(value)
            at = _skip(body, at)
            mark = body[at : at + 1]
            at += 1
            if mark == b",":
                at = _skip(body, at)
                if isinstance(container, dict):
                    key, at = _key(body, at)
                    keys.append(key)
                break
            if mark != (b"}" if isinstance(container, dict) else b"]"):
                raise _wrong(
                    "Missing a comma or } after an object member."
                    if isinstance(container, dict)
                    else "Missing a comma or ] after an array element.",
                    at - 1,
                )
            value = open_containers.pop()
        else:
            at = _skip(body, at)
            if at < len(body):
                raise _wrong("The document root must not be followed by other values.", at)
            return value


def _key(body: bytes, at: int) -> tuple[str, int]:
    if body[at : at + 1] != b'"':
        raise _wrong("Missing a name for object member.", at)
    key, at = _string(body, at + 1)
    at = _skip(body, at)
    if body[at : at + 1] != b":":
        raise _wrong("Missing a colon after a name of object member.", at)
    return key, _skip(body, at + 1)


def _scalar(body: bytes, at: int) -> tuple[object, int]:
    start = body[at : at + 1]
    if start == b'"':
        return _string(body, at + 1)
    if start in _LITERALS:
        word, value = _LITERALS[start]
        for i, letter in enumerate(word):
            if body[at + i : at + i + 1] != bytes([letter]):
                raise _wrong("Invalid value.", at + i)
        return value, at + len(word)
    if special := _NOT_FINITE.match(body, at):
        number = math.nan if special[2] else math.inf
        return (-number if special[1] else number), special.end()
    found = _NUMBER.match(body, at)
    if not found:
        raise _wrong("Invalid value.", at + (start == b"-"))
    if found[1] == b".":
        raise _wrong("Miss fraction part in number.", found.end(1))
    if found[2] and not found[2][-1:].isdigit():
        raise _wrong("Miss exponent in number.", found.end(2))
    try:
        text = found[0].decode()
        return (_float if found[1] or found[2] else _integer)(text), found.end()
    except ValueError:
        raise _wrong("Number too big to be stored in double.", at) from None


def _string(body: bytes, at: int) -> tuple[str, int]:
    """The string whose first byte after the quotation mark is at `at`, and where the text goes on."""
    parts = []
    while True:
        plain = _match(_PLAIN, body, at)
        parts.append(_text(plain))
        at += len(plain)
        mark = body[at : at + 1]
        if mark == b'"':
            return "".join(parts), at + 1
        if mark in (b"", b"\0"):
            raise _wrong("Missing a closing quotation mark in string.", at)
        if mark != b"\\":
            raise _wrong("Invalid encoding in string.", at)
        letter = body[at + 1 : at + 2]
        if letter == b"u":
            character, after = _unicode(body, at)
            parts.append(character)
            at = after
        elif letter in _ESCAPES:
            parts.append(_ESCAPES[letter])
            at += 2
        else:
            raise _wrong("Invalid escape character in string.", at)


def _unicode(body: bytes, at: int) -> tuple[str, int]:
    """The character of the escape `\\uXXXX`, or of two of them, at `at`."""
    first = _HEX.match(body, at + 2)
    if not first:
        raise _wrong("Incorrect hex digit after \\u escape in string.", at)
    code = int(first[0], 16)
    if not 0xD800 <= code < 0xE000:
        return chr(code), at + 6
    second = _HEX.match(body, at + 8) if body[at + 6 : at + 8] == b"\\u" else None
    low = int(second[0], 16) if second else 0
    if code >= 0xDC00 or not 0xDC00 <= low < 0xE000:
        raise _wrong("The surrogate pair in string is invalid.", at)
    return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), at + 12
