"""The gate: rules, what serves, and verdicts with their reasons."""

import json

import pytest

from components.evaluator import verdict
from components.evaluator.options import GateOptions
from components.evaluator.rules import MORE_IS_BETTER, not_worse, parse_rule
from components.evaluator.served import Served, what_serves

CLASSES = {
    "good": {"kid": 0.01, "label_agreement": 0.99, "label_agreement_ratio": 1.0},
    "fray": {"kid": 0.3, "label_agreement": 0.6, "label_agreement_ratio": 0.7},
}
WHOLE = {"fid": 1.0, "kid": 0.02, "inception_score": 1.8, "label_agreement": 0.95}
SERVED = Served(7, "/serving/7", "old")


def decide(rules=("label_agreement >= 0.9",), served=None, baseline=None, fingerprint="new", margins=None):
    options = GateOptions(rules=rules, not_worse=margins or {"kid": 0.02})
    values = verdict.named_figures(WHOLE, CLASSES)
    return verdict.decide(
        fingerprint,
        served,
        verdict.check_rules(options, values, CLASSES),
        verdict.compare(options, values, baseline),
    )


@pytest.mark.parametrize("symbol", [">=", "<=", ">", "<"])
def test_a_rule_holds_as_its_operator_says(symbol):
    rule = parse_rule(f"fid {symbol} 2")
    assert [rule.holds(v) for v in (1.0, 2.0, 3.0)] == [eval(f"{v} {symbol} 2") for v in (1.0, 2.0, 3.0)]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_is_not_known_meets_no_rule(value):
    assert not parse_rule("fid <= 2").holds(value) and not parse_rule("kid >= 0").holds(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fdi <= 2", "did you mean `fid`"),
        ("fid == 2", "not of the form"),
        ("fid <= two", "not a number"),
        ("fid <= inf", "finite"),
        ("fid <= nan", "finite"),
    ],
)
def test_a_bad_rule_is_refused(text, expected):
    with pytest.raises(ValueError, match=expected):
        parse_rule(text)


def test_not_worse_looks_the_right_way():
    for figure, better in MORE_IS_BETTER.items():
        step = 1 if better else -1
        assert not_worse({figure: 1.0 + step}, {figure: 1.0}, figure, margin=0.1)
        assert not_worse({figure: 1.0 - 0.05 * step}, {figure: 1.0}, figure, margin=0.1)
        assert not not_worse({figure: 1.0 - 0.2 * step}, {figure: 1.0}, figure, margin=0.1)
    assert not not_worse({"kid": None}, {"kid": 0.1}, "kid", 0.1)


def test_all_rules_met_and_nothing_serves_is_blessed():
    decision, reasons = decide()
    assert decision == "blessed" and reasons == ["the one rule holds", "nothing serves yet"]


def test_a_rule_that_fails_is_named_with_its_value_and_class():
    decision, reasons = decide(rules=("label_agreement >= 0.9", "worst.label_agreement_ratio >= 0.8"))
    assert decision == "rejected"
    assert reasons == ["`worst.label_agreement_ratio >= 0.8` does not hold: it is 0.7 (class fray)"]


def test_without_rules_nothing_is_blessed():
    decision, reasons = decide(rules=())
    assert decision == "rejected" and "no rules" in reasons[0]


def test_a_class_without_a_figure_has_no_worst_and_blocks():
    classes = {**CLASSES, "lost": {"kid": None, "label_agreement": None, "label_agreement_ratio": None}}
    values = verdict.named_figures(WHOLE, classes)
    (result,) = verdict.check_rules(GateOptions(rules=("worst.kid <= 9",)), values, classes)
    assert (result.value, result.passed, result.where) == (None, False, "lost")


def test_worse_than_what_serves_is_rejected_with_both_figures():
    baseline = {**verdict.named_figures(WHOLE, CLASSES), "kid": -0.03}
    decision, reasons = decide(served=SERVED, baseline=baseline)
    assert decision == "rejected"
    assert reasons == ["kid is worse than that of the serving version 7: 0.02 against -0.03, and the margin is 0.02"]


def test_within_the_margin_of_what_serves_is_blessed():
    decision, reasons = decide(served=SERVED, baseline={**verdict.named_figures(WHOLE, CLASSES), "kid": 0.001})
    assert decision == "blessed" and reasons[1] == "not worse than the serving version 7 in kid"


def test_what_serves_already_is_not_pushed_again_even_if_a_rule_fails_now():
    served = Served(7, "/serving/7", "same")
    decision, reasons = decide(rules=("label_agreement >= 0.99",), served=served, fingerprint="same")
    assert decision == "already_serving"
    assert "version 7" in reasons[0] and "label_agreement >= 0.99" in reasons[1]


@pytest.fixture
def push(tmp_path):
    def push(version: str, fingerprint: str | None = "abc", complete: bool = True):
        folder = tmp_path / version
        (folder / "assets.extra").mkdir(parents=True)
        if fingerprint:
            (folder / "assets.extra" / "tailgan.json").write_text(json.dumps({"fingerprint": fingerprint}))
        if complete:
            (folder / "saved_model.pb").write_bytes(version.encode())
        return str(tmp_path)

    return push


def test_the_highest_complete_version_serves(push):
    push("9", "nine")
    push("10", "ten")
    push("11", "eleven", complete=False)
    base = push("notes", "none")
    served = what_serves(base)
    assert served is not None and (served.version, served.fingerprint) == (10, "ten")


def test_nothing_serves_from_an_absent_or_empty_base(tmp_path):
    assert what_serves(str(tmp_path)) is None
    assert what_serves(str(tmp_path / "absent")) is None


def test_a_foreign_model_is_known_by_its_files(push):
    first = what_serves(push("1", fingerprint=None))
    second = what_serves(push("2", fingerprint=None))
    assert first and second and first.fingerprint != second.fingerprint
