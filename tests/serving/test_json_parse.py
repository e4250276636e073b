"""JSON as RapidJSON takes it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.json_parse import MAX_SHOWN, parse, show

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_python_writes_is_read(value, ascii_only, indent):
    text = json.dumps({"value": value}, ensure_ascii=ascii_only, indent=indent)
    assert parse(text.encode("utf-8", "surrogatepass")) == {"value": value}


@given(VALUES)
def test_the_slow_reader_reads_the_same(value):
    # `Inf` is what only the slow reader takes.
    text = json.dumps({"first": 0, "value": value}, ensure_ascii=False).replace("0", "Inf", 1)
    assert parse(text.encode("utf-8", "surrogatepass")) == {"first": math.inf, "value": value}


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body):
    try:
        assert isinstance(parse(body), dict)
    except ServingError as error:
        assert error.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "The document is empty"),
        (" \n", "The document is empty. at offset: 2"),
        ("{", "Missing a name for object member. at offset: 1"),
        ('{"a"', "Missing a colon after a name of object member. at offset: 4"),
        ('{"a": 1', "Missing a comma or } after an object member. at offset: 7"),
        ('{"a": [1', "Missing a comma or ] after an array element. at offset: 8"),
        ('{"a": 1} 2', "The document root must not be followed by other values. at offset: 9"),
        ('{"a": nul}', "Invalid value. at offset: 9"),
        ('{"a": 01}', "Missing a comma or } after an object member. at offset: 7"),
        ('{"a": 1.}', "Miss fraction part in number. at offset: 8"),
        ('{"a": 1e+}', "Miss exponent in number. at offset: 9"),
        ('{"a": -}', "Invalid value. at offset: 7"),
        ('{"a": -1e999}', "Number too big to be stored in double. at offset: 6"),
        ('{"a": ' + "9" * 5000 + "}", "Number too big to be stored in double. at offset: 6"),
        ('{"a": "b', "Missing a closing quotation mark in string. at offset: 8"),
        ('{"a": "\t"}', "Invalid encoding in string. at offset: 7"),
        ('{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        ('{"a": "\\u12g4"}', "Incorrect hex digit after \\u escape in string. at offset: 7"),
        ('{"a": "\\ud83d\\u0041"}', "The surrogate pair in string is invalid. at offset: 7"),
        ('{"a": "\\ude00"}', "The surrogate pair in string is invalid. at offset: 7"),
    ],
)
def test_faults_have_rapidjsons_words(text, fault):
    with pytest.raises(ServingError) as caught:
        parse(text.encode())
    assert caught.value.message == f"JSON Parse error: {fault}"


def test_integers_are_exact_and_larger_ones_are_floats():
    assert parse(b'{"a": [9007199254740993, 18446744073709551615, 18446744073709551616, -9223372036854775809]}') == {
        "a": [2**53 + 1, 2**64 - 1, 2.0**64, -(2.0**63)]
    }
    assert [type(value) for value in parse(b'{"a": [18446744073709551615, 18446744073709551616]}')["a"]] == [int, float]


def test_the_first_of_equal_keys_counts():
    assert parse(b'{"a": 1, "b": 2, "a": 3}') == {"a": 1, "b": 2}
    assert parse(b'{"a": 1, "a": Inf}') == {"a": 1}


def test_bytes_that_are_no_utf8_are_kept():
    assert parse(b'{"a": "\xff\xe2\x98\x83"}')["a"].encode("utf-8", "surrogateescape") == b"\xff\xe2\x98\x83"


def test_depth_beyond_pythons_recursion_has_a_bound_too():
    value = parse(b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")["a"]
    depth = 0
    while value:
        value, depth = value[0], depth + 1
    assert depth == 9_999
    with pytest.raises(ServingError, match="More than 16384 lists or objects in each other"):
        parse(b'{"a": ' + b"[" * 20_000)


def test_what_is_shown_has_a_bound():
    assert show([1, {"a": "é"}]) == '[\n    1,\n    {\n        "a": "é"\n    }\n]'
    for large in (list(range(10**6)), "é" * 10**6, [[["x" * 10**6]]]):
        shown = show(large)
        assert shown.endswith("...TRUNCATED")
        assert len(shown.encode()) < MAX_SHOWN + 20
