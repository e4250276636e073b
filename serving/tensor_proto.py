"""Tensors of gRPC messages, and back; values go into the fields of their type, where clients look for them."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import invalid

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
    elements = math.prod(max(0, dim.size) for dim in proto.tensor_shape.dim)
    try:
        dtype = tf.as_dtype(proto.dtype)
    except TypeError:
        return 0  # `from_proto` refuses it
    return elements * dtype.size


def from_proto(alias: str, proto: TensorProto) -> np.ndarray:
    """The array of a message.

    Raises:
      ServingError: if it is none.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if any(size < 0 for size in sizes):
        raise invalid(f"tensor parsing error: {alias}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, MemoryError):
        raise invalid(f"tensor parsing error: {alias}") from None


def to_proto(array: np.ndarray) -> TensorProto:
    """The message of an array; strings are arrays of bytes objects."""
    array = np.asarray(array)
    string = array.dtype == object
    proto = TensorProto(dtype=(tf.string if string else tf.as_dtype(array.dtype)).as_datatype_enum)
    proto.tensor_shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    kind = array.dtype.name
    if string:
        proto.string_val.extend(array.ravel().tolist())
    elif kind in _FIELDS:
        getattr(proto, _FIELDS[kind]).extend(array.ravel().tolist())
    elif kind in ("float16", "bfloat16"):
        proto.half_val.extend(array.ravel().view(np.uint16).tolist())
    else:
        proto.tensor_content = array.tobytes()
    return proto
