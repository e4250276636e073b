"""Tensors of gRPC messages."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import ServingError
from serving.tensor_proto import from_proto, to_proto

TYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 3), (2, 0)])
@pytest.mark.parametrize("dtype", [*TYPES, tf.bfloat16.as_numpy_dtype, object])
def test_what_is_written_is_read(dtype, shape):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    array = np.array([b"%d" % value for value in values.ravel()], object).reshape(shape)
    array = array if dtype is object else values.astype(dtype)
    proto = to_proto(array)
    for read in (from_proto("x", proto), tf.make_ndarray(proto)):
        assert (read.dtype, read.shape, read.tolist()) == (array.dtype, array.shape, array.tolist())


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": 9, "int64_val": [7], "shape": [3]},  # one value for all
        {"dtype": 9, "int64_val": [7, 8], "shape": [4]},  # the last for the rest
        {"dtype": 9, "shape": [2]},  # none: zeros
        {"dtype": 9, "tensor_content": np.arange(3).tobytes(), "shape": [3]},
        {"dtype": 9, "tensor_content": np.arange(1).tobytes(), "int64_val": [5], "shape": [1]},
        {"dtype": 1, "float_val": [0.1, np.nan], "shape": [2, 1]},
        {"dtype": 7, "string_val": [b"a", b"b\0\xff"], "shape": [2]},
        {"dtype": 7, "string_val": [b"a"], "shape": []},
        {"dtype": 9, "shape": [0, 5]},
    ],
)
def test_a_message_is_read_as_tensorflow_reads_it(fields):
    shape = fields.pop("shape")
    proto = TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    read, wanted = from_proto("x", proto), tf.make_ndarray(proto)
    assert (read.dtype, read.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(read, wanted)


def test_what_is_read_may_be_written_to():
    read = from_proto("x", to_proto(np.zeros(3, np.int64)))
    read[0] = 1  # it is a copy


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": 9, "int64_val": [1, 2], "shape": [1]},  # more than there is room for
        {"dtype": 9, "int64_val": [1], "shape": [-1]},
        {"dtype": 9, "int64_val": [1], "shape": [2**20, 2**20]},
        {"dtype": 9, "tensor_content": b"123", "shape": [1]},
        {"dtype": 7, "tensor_content": b"123", "shape": [1]},
        {"dtype": 0, "shape": [1]},
    ],
)
def test_what_is_no_tensor_is_refused(fields):
    shape = fields.pop("shape")
    proto = TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(ServingError, match="x"):
        from_proto("x", proto)
