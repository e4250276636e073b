"""Tensors out of JSON and JSON out of tensors; tests/conformance has what the real server says to each fault."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.json_answers import answer
from serving.json_parse import parse
from serving.json_tensors import inputs_of


def inputs(document: str, **dtypes: str) -> dict[str, np.ndarray]:
    return inputs_of(parse(document.encode()), dtypes, max_rows=100)[0]


def test_rows_and_columns_give_the_same_tensors():
    by_row = inputs('{"instances": [{"x": [1, 2], "s": "a"}, {"s": "b", "x": [3, 4]}]}', x="float", s="string")
    by_column = inputs('{"inputs": {"x": [[1, 2], [3, 4]], "s": ["a", "b"]}}', x="float", s="string")
    for tensors in (by_row, by_column):
        assert tensors["x"].dtype == np.float32
        assert tensors["x"].tolist() == [[1, 2], [3, 4]]
        assert tensors["s"].tolist() == [b"a", b"b"]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_int64_is_exact_both_ways(values):
    tensors = inputs(json.dumps({"inputs": values}), x="int64")
    assert tensors["x"].tolist() == values
    assert json.loads(answer({"x": tensors["x"]}, by_row=True)) == {"predictions": values}


@given(st.lists(st.floats(width=32), min_size=1))
def test_float32_comes_back_as_it_was(values):
    array = np.array(values, np.float32)
    for by_row, key in ((True, "predictions"), (False, "outputs")):
        read = np.array(json.loads(answer({"x": array}, by_row))[key], np.float32)
        np.testing.assert_array_equal(read, array)


@given(st.lists(st.floats(), min_size=1))
def test_float64_comes_back_as_it_was(values):
    np.testing.assert_array_equal(json.loads(answer({"x": np.array(values)}, by_row=False))["outputs"], values)


@given(st.lists(st.text(), min_size=1))
def test_text_comes_back_as_it_was(values):
    array = np.array([value.encode("utf-8", "surrogatepass") for value in values] + [None], object)[:-1]
    read = json.loads(answer({"x": array}, by_row=True).decode("utf-8", "surrogatepass"))
    assert read == {"predictions": values}


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_shapes_come_back_as_they_were(a, b, c, several):
    array = np.arange(a * b * c).reshape(a, b, c)
    outputs = {"x": array, "y": array} if several else {"x": array}
    columns = json.loads(answer(outputs, by_row=False))["outputs"]
    assert (columns["x"] if several else columns) == array.tolist()
    rows = json.loads(answer(outputs, by_row=True))["predictions"]
    assert ([row["x"] for row in rows] if several else rows) == array.tolist()


def test_too_many_rows_are_refused_before_they_are_read():
    with pytest.raises(ServingError, match="101 instances in one request: at most 100"):
        inputs(json.dumps({"instances": [None] * 101}), x="int64")


def test_a_batch_of_one_bad_row_names_it():
    with pytest.raises(ServingError, match=r"element: 2 of 'instances' list.*of expected type: int64"):
        inputs('{"instances": [1, 2, "3"]}', x="int64")
