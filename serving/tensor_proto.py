"""Tensors of gRPC messages, and back; values go into the fields of their type, where clients look for them."""

import math
from functools import cache

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import invalid
from serving.json_tensors import MAX_RANK

# {data type of a message: its field of values, their type}: what most requests hold is read without TensorFlow's
# `make_ndarray`, which takes longer over a few values than all else that is done to a request.
_PLAIN = {
    types_pb2.DT_FLOAT: ("float_val", np.float32),
    types_pb2.DT_INT64: ("int64_val", np.int64),
    types_pb2.DT_STRING: ("string_val", object),
}
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32"), "int_val"),
}


def size_of(proto: TensorProto) -> int:
    """Bytes of the array of a message, which may hold one value for any number of elements."""
    shape = proto.tensor_shape.dim
    try:
        dtype = tf.as_dtype(proto.dtype)
    except TypeError:
        return 0  # `from_proto` refuses it, and what has too many dimensions to be multiplied
    return math.prod(max(0, dim.size) for dim in shape) * dtype.size if len(shape) <= MAX_RANK else 0


def from_proto(alias: str, proto: TensorProto) -> np.ndarray:
    """The array of a message.

    Raises:
      ServingError: if it is none.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if len(sizes) > MAX_RANK or any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {alias}")
    try:
        if proto.dtype in _PLAIN and not proto.tensor_content:
            field, dtype = _PLAIN[proto.dtype]
            values = getattr(proto, field)
            if len(values) == math.prod(sizes):
                return np.array(list(values), dtype).reshape(sizes)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, MemoryError):
        raise invalid(f"tensor parsing error: {alias}") from None


def to_proto(array: np.ndarray) -> TensorProto:
    """The message of an array; strings are arrays of bytes objects."""
    array = np.asarray(array)
    number, field = _number_and_field(array.dtype)
    proto = TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if field == "tensor_content":
        proto.tensor_content = array.tobytes()
    else:
        values = array.ravel()
        getattr(proto, field).extend((values.view(np.uint16) if field == "half_val" else values).tolist())
    return proto


@cache
def _number_and_field(dtype: np.dtype) -> tuple[int, str]:
    """TensorFlow's number of a data type, and the field of a message that its values go into."""
    if dtype.kind == "O":
        return types_pb2.DT_STRING, "string_val"
    field = "half_val" if dtype.name in ("float16", "bfloat16") else _FIELDS.get(dtype.name, "tensor_content")
    return tf.as_dtype(dtype).as_datatype_enum, field
