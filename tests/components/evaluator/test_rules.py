"""Rules: what they may say, and their three outcomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluator.options import GateOptions
from components.evaluator.rule_results import check_rules
from components.evaluator.rules import GROUPED, P_VALUES, WHOLE, parse_rule
from models.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fdi <= 2", "did you mean `fid`"),
        ("worst.kid_relativ <= 1", "did you mean `kid_relative`"),
        ("worst.fid <= 2", "unknown figure `fid`"),
        ("tail.kid_p >= 0.01", "unknown figure `kid_p`"),
        ("mean.memorization_p >= 0.01", "unknown figure `memorization_p`"),
        ("worst.kid_p >= 2", "lies between 0 and 1"),
        ("kid_relative <= 2", "unknown figure `kid_relative`"),
        ("best.kid <= 2", "unknown figure `best.kid`"),
        ("fid == 2", "not of the form"),
        ("class[].kid <= 2", "not of the form"),
        ("fid <= two", "not a number"),
        ("fid <= inf", "finite"),
        ("fid <= nan", "finite"),
        ("worst.label_agreement >= 1.5", "lies between 0 and 1"),
        ("inception_score >= 0.5", "lies between 1 and inf"),
    ],
)
def test_a_bad_rule_is_refused(text, expected):
    with pytest.raises(ValueError, match=expected):
        parse_rule(text)


@pytest.mark.parametrize(
    "text",
    [
        "label_agreement >= 0.95", "worst.kid <= 1", "balance.dead <= 0", "kid.value <= 0.2", "fid <= 0.123456789",
        "worst.kid <= 1234567.25",
    ],
)  # fmt: skip
def test_a_rule_reads_back_as_it_was_written(text):
    assert str(parse_rule(text)) == text


def test_class_names_may_hold_what_they_like():
    for name in ("a", "tile (1).x", "a].b", "class[x]", "3"):
        rule = parse_rule(f"class[{name}].diversity.hi >= 0.4")
        assert (rule.name, rule.figure, rule.end) == (name, "diversity", "hi")


@pytest.mark.parametrize(
    "figure", [*WHOLE, *(f"tail.{name}" for name in GROUPED), *(f"worst.{g}" for g in (*GROUPED, *P_VALUES))]
)
def test_every_figure_can_be_named(figure):
    assert parse_rule(f"{figure} >= 1").figure == figure.removeprefix("tail.").removeprefix("worst.")


# A figure of 2 with the interval [1, 3], held against thresholds below, within and above it.
@pytest.mark.parametrize(
    ("form", "outcomes"),
    [
        ("mean.kid <= {}", ("fail", "cannot_tell", "cannot_tell", "pass")),
        ("mean.kid.hi <= {}", ("fail", "cannot_tell", "cannot_tell", "pass")),
        ("mean.kid.lo <= {}", ("fail", "pass", "pass", "pass")),
        ("mean.kid.value <= {}", ("fail", "fail", "pass", "pass")),
        ("mean.kid >= {}", ("pass", "cannot_tell", "cannot_tell", "fail")),
        ("mean.kid.lo >= {}", ("pass", "cannot_tell", "cannot_tell", "fail")),
        ("mean.kid.hi >= {}", ("pass", "pass", "pass", "fail")),
        ("mean.kid.value >= {}", ("pass", "pass", "fail", "fail")),
    ],
)
def test_outcomes_are_those_of_the_table(form, outcomes):
    assert tuple(parse_rule(form.format(t)).outcome(2, 1, 3) for t in (0.5, 1.5, 2.5, 3.5)) == outcomes


@pytest.mark.parametrize("symbol", [">=", "<=", ">", "<"])
def test_at_the_threshold_the_operator_decides(symbol):
    rule = parse_rule(f"fid {symbol} 2")
    assert rule.outcome(2, None, None) == ("pass" if "=" in symbol else "fail")


def test_without_an_interval_by_nature_the_value_decides_and_without_enough_images_nothing_does():
    assert parse_rule("fid <= 2").outcome(1, None, None) == "pass"
    assert parse_rule("worst.kid <= 2").outcome(1, None, None) == "cannot_tell"
    assert parse_rule("kid <= 2").outcome(1, None, None) == "cannot_tell"
    assert parse_rule("worst.kid <= 2").outcome(None, 3, None) == "fail"
    assert {parse_rule(f"{f} <= 2").outcome(None, None, None) for f in ("fid", "kid", "kid.value")} == {"cannot_tell"}


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3), st.sampled_from(["<=", ">=", "<", ">"]))
def test_a_pass_and_a_fail_agree_with_every_value_of_the_interval(threshold, below, above, symbol):
    outcome = parse_rule(f"kid {symbol} {threshold}").outcome(0.0, -below, above)
    held = {parse_rule(f"kid.value {symbol} {threshold}").outcome(v, None, None) for v in (-below, 0.0, above)}
    assert held == {outcome} if outcome != "cannot_tell" else len(held) == 2


def row(value, lo, hi):
    return {"kid": value, "intervals": {"kid": [lo, hi]}}


def document(**rows):
    return {
        "fid": 1.0,
        "kid": 0.1,
        "balance": {"dead": ["b"], "kl": 0.5},
        "memorization": {"p": 0.001},
        "intervals": {"kid": [0.0, 0.2]},
        "per_class": rows,
        "groups": {
            "tail": {"classes": ["a"], **row(0.3, 0.2, 0.4)},
            "worst": {**row(0.5, 0.4, 0.6), "where": {"kid": "a"}},
        },
    }


def check(rule, **rows):
    return check_rules((rule,), document(**rows))[0]


def test_rules_find_their_figures():
    values = {
        "fid <= 2": 1.0,
        "kid <= 2": 0.1,
        "balance.dead <= 0": 1,
        "balance.kl <= 1": 0.5,
        "memorization.p >= 0.01": 0.001,
        "class[a].kid <= 2": 0.7,
        "tail.kid <= 2": 0.3,
        "worst.kid <= 2": 0.5,
    }
    found = {rule: check(rule, a=row(0.7, 0.6, 0.8)).value for rule in values}
    assert found == values


def test_a_rule_on_a_class_that_is_not_there_names_those_that_are():
    with pytest.raises(UserError, match=r"gate.rules.*classes: a, b"):
        check("class[c].kid <= 1", a=row(0, 0, 0), b=row(0, 0, 0))


def test_a_group_without_classes_cannot_be_told():
    assert check("head.kid <= 1", a=row(0, 0, 0)).outcome == "cannot_tell"


def test_the_worst_names_the_class_that_decides():
    unknown, bad, wide, good = row(None, None, None), row(3, 2, 4), row(0.9, 0.5, 1.5), row(0, -0.1, 0.1)
    cases = [
        (dict(g=good, w=wide, b=bad), "fail", "b"),
        (dict(g=good, u=unknown, w=wide), "cannot_tell", "u"),
        (dict(g=good, w=wide), "cannot_tell", "w"),
        (dict(u=unknown, b=bad, g=good), "fail", "b"),  # what is known to be bad is bad, whatever else is not known
    ]
    for rows, outcome, where in cases:
        result = check("worst.kid <= 1", **rows)
        assert (result.outcome, result.where, result.passed) == (outcome, where, False)
        assert result.value == rows[where]["kid"]


def test_every_result_says_why_with_its_numbers():
    assert check("worst.kid <= 1", a=row(3, 2, 4)).why == "kid of class a is 3 [2, 4]: `worst.kid <= 1` does not hold"
    assert "kid of the worst class, a, is 0.5 [0.4, 0.6]" in check("worst.kid <= 1", a=row(0.5, 0.4, 0.6)).why
    assert "mean kid over the tail (a) is 0.3 [0.2, 0.4]" in check("tail.kid <= 0.3", a=row(0, 0, 0)).why
    assert "not known" in check("worst.kid <= 1", a=row(None, None, None)).why
    assert "too few images for an interval" in check("worst.kid <= 1", a=row(0.1, None, None)).why


def test_margins_are_of_known_figures_and_not_negative():
    with pytest.raises(ValueError, match="did you mean `kid_relative`"):
        GateOptions(not_worse={"kid_relativ": 0.1})
    with pytest.raises(ValueError, match="at least 0"):
        GateOptions(not_worse={"kid": -0.1})
