"""Tensors out of a request's JSON, as TensorFlow Serving's REST interface makes them.

https://www.tensorflow.org/tfx/serving/api_rest tells the formats: by row (`instances` to `predictions`) and by column
(`inputs` to `outputs`). Data types go by TensorFlow's names for them: `float`, `double`, `half`, `int64`, `string`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import ServingError, invalid
from serving.json_parse import show

MAX_RANK = 32  # of an array of numpy's
# Types of JSON values, and the range of integers, that each data type takes. Narrow integers wrap around.
_INTEGERS = {
    "int8": (2**31, np.int8),
    "uint8": (2**31, np.uint8),
    "int16": (2**31, np.int16),
    "int32": (2**31, np.int32),
    "int64": (2**63, np.int64),
}
_UNSIGNED = {"uint32": (2**32, np.uint32), "uint64": (2**64, np.uint64)}
_FLOATS = {"float": np.float32, "double": np.float64}
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")


def signature_name(document: Mapping[str, Any]) -> str:
    """Name of the signature that a request asks for; empty if none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def inputs_of(document: Mapping[str, Any], dtypes: Mapping[str, str], max_rows: int) -> tuple[dict, bool]:
    """Tensors of a request.

    Args:
      document: its JSON.
      dtypes: {alias of an input: its data type}.
      max_rows: most instances.

    Returns:
      {alias: array} and whether it came by row.

    Raises:
      ServingError: if the JSON does not fit.
    """
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist "
            )
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        if len(instances) > max_rows:
            raise invalid(f"{len(instances)} instances in one request: at most {max_rows} (--max_rows)")
        return _by_row(instances, dtypes), True
    if "inputs" in document:
        return _by_column(document["inputs"], dtypes), False
    raise invalid("Missing 'inputs' or 'instances' key")


class _Column:
    """One input, item by item: all are tensors of one shape."""

    def __init__(self, alias: str, dtype: str):
        self.alias = alias
        self.dtype = dtype
        self.shape: tuple[int, ...] | None = None
        self.values: list = []

    def add(self, item: object) -> None:
        shape, values = _flatten(item, self.alias, self.dtype)
        if self.shape is None:
            self.shape, self.size = shape, len(values)
        elif self.size != len(values):
            raise invalid(f"Expecting tensor size: {self.size} but got: {len(values)}")
        elif self.shape != shape:
            raise invalid(f"Expecting shape {_brackets(self.shape)} but got: {_brackets(shape)}")
        self.values += values

    def tensor(self, rows: int) -> np.ndarray:
        return _array(self.values, self.dtype).reshape(rows, *(self.shape or ()))


def _by_row(instances: list, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    named = _is_object(instances[0])
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = {alias: _Column(alias, dtype) for alias, dtype in dtypes.items()}
    only = next(iter(dtypes))
    for row, item in enumerate(instances):
        where = f"Failed to process element: {row} "
        if _is_object(item) != named:
            kinds = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {kinds[0]} but got {kinds[1]} at item {row} of input list")
        for alias, value in item.items() if named else ((only, item),):
            try:
                if alias not in columns:
                    raise invalid(f"JSON object: does not have named input: {alias}")
                columns[alias].add(value)
            except ServingError as error:
                key = f"key: {alias} " if named else ""
                raise invalid(f"{where}{key}of 'instances' list. Error: {error.code}: {error.message}") from None
        if named and len(item) != len(columns):
            raise invalid(
                f"{where}of 'instances' list. JSON object: {show(item)} keys must be equal to: "
                + ",".join(sorted(columns))
            )
    return {alias: column.tensor(len(instances)) for alias, column in columns.items()}


def _by_column(given: object, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_object(given):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        given = {next(iter(dtypes)): given}
    tensors = {}
    for alias, dtype in dtypes.items():
        if alias not in given:  # type: ignore[operator]
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        shape, values = _flatten(given[alias], alias, dtype)  # type: ignore[index]
        tensors[alias] = _array(values, dtype).reshape(shape)
    return tensors


def _is_object(value: object) -> bool:
    """Whether it is an object that does not stand for bytes."""
    return isinstance(value, dict) and not (len(value) == 1 and isinstance(value.get("b64"), str))


def _flatten(value: object, alias: str, dtype: str) -> tuple[tuple[int, ...], list]:
    """Shape and checked values of nested lists."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MAX_RANK:
        raise invalid(f"tensor parsing error: {alias}")
    values: list = []
    _fill(value, 0, shape, dtype, values)
    return tuple(shape), values


def _fill(value: object, level: int, shape: list[int], dtype: str, values: list) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_checked(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    if level + 1 == len(shape) and dtype in _FLOATS and set(map(type, value)) <= {int, float}:
        values += value
        return
    for item in value:
        _fill(item, level + 1, shape, dtype, values)


def _checked(value: Any, dtype: str) -> Any:
    """A value that a tensor of this type takes."""
    kind = type(value)
    if dtype in _INTEGERS:
        fits = kind is int and -_INTEGERS[dtype][0] <= value < _INTEGERS[dtype][0]
    elif dtype in _UNSIGNED:
        fits = kind is int and 0 <= value < _UNSIGNED[dtype][0]
    elif dtype in _FLOATS:
        fits = kind in (int, float)
    elif dtype == "bool":
        fits = kind is bool
    elif dtype == "string":
        if kind is dict:
            return _decode(value)
        if kind is str:
            return value.encode("utf-8", "surrogateescape")
        fits = False
    else:
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {dtype}")
    if not fits:
        raise invalid(f"JSON Value: {show(value)} Type: {_type_name(value)} is not of expected type: {dtype}")
    return value


def _type_name(value: object) -> str:
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def _decode(value: dict) -> bytes:
    if _is_object(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    try:
        if _BASE64.match(text):
            text = text.rstrip("=")
            return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        pass
    raise invalid("Unable to base64 decode")


def _array(values: list, dtype: str) -> np.ndarray:
    if dtype in _FLOATS:
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(_FLOATS[dtype])
    if dtype == "string":
        array = np.empty(len(values), object)
        array[:] = values
        return array
    if dtype == "bool":
        return np.array(values, bool)
    if dtype in _UNSIGNED:
        return np.array(values, _UNSIGNED[dtype][1])
    return np.array(values, np.int64).astype(_INTEGERS[dtype][1])


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
