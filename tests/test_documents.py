"""The checks of documents refuse what is wrong."""

import pytest

from tests.documents import as_kubernetes, check, check_kubernetes


def test_a_check_of_a_shape_refuses_what_is_not_of_it():
    for wrong in ({"a": 1, "b": 1}, {}, {"a": "1"}):
        with pytest.raises(AssertionError):
            check(wrong, {"a": int, "c?": str})
    for wrong in ({"spec": {"replica": 1}}, {"spec": {"replicas": "1"}}):
        with pytest.raises(AssertionError):
            check_kubernetes(wrong, "V1Deployment")


def test_what_is_required_is_missed():
    with pytest.raises(ValueError, match="selector"):
        as_kubernetes({"spec": {"template": {}}}, "V1Deployment")
