"""Cron expressions, from the five fields that everyone writes to the six of Kubeflow Pipelines."""

import pytest

from pipeline.cron import six_fields


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("  */15   0-6,22 1 jan-MAR sun ", "0 */15 0-6,22 1 jan-MAR sun"),
        ("59 23 31 12 6", "0 59 23 31 12 6"),
        ("0-59/5 * * * MON-FRI", "0 0-59/5 * * * MON-FRI"),
    ],
)
def test_seconds_are_put_before_five_fields(given, expected):
    assert six_fields(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "has 0 fields instead of 5: minute, hour, day of the month, month, day of the week"),
        ("0 0 3 * * 1", "has 6 fields"),
        ("@weekly", "has 1 fields"),
        ("60 3 * * 1", "character 1, minute: `60` is not *, a value (0 to 59) or a range"),
        ("0 3,24 * * 1", "character 5, hour: `24`"),
        ("0 3 0 * 1", "character 5, day of the month: `0`"),
        ("0 3 * 13 1", "character 7, month: `13` is not *, a value (1 to 12 or JAN to DEC)"),
        ("0 3 * *   7", "character 11, day of the week: `7` is not *, a value (0 to 6 or SUN to SAT)"),
        ("0 3 * * FRI-MON", "character 9, day of the week: `FRI-MON` ends before it begins"),
        ("0 3 * * 1-2-3", "`1-2-3` is not"),
        ("0 3 * * 1,", "character 11, day of the week: `` is not"),
        ("*/0 3 * * 1", "character 1, minute: `*/0`: a step is a number from 1 to 99"),
        ("0 3/ * * 1", "character 3, hour: `3/`: a step"),
        ("0 ٣ * * 1", "character 3, hour"),
        ("0 3 ? * L", "character 5, day of the month: `?`"),
    ],
)
def test_a_bad_expression_is_refused_with_its_position(given, expected):
    with pytest.raises(ValueError) as caught:
        six_fields(given)
    assert expected in str(caught.value)
