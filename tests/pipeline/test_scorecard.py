"""Figures become words by their intervals, and a word never hides what the gate says."""

from pathlib import Path

import pytest

from components.evaluator.options import GateOptions
from pipeline import scorecard
from pipeline.scorecard import Bound

LESS = Bound("f", 0.1, 0.3, False, "")
MORE = Bound("f", 0.6, 0.4, True, "")


def scores(evaluation) -> dict[str, scorecard.Score]:
    return {score.name: score for score in scorecard.scorecard(evaluation)}


@pytest.mark.parametrize(
    ("bound", "estimate", "word"),
    [
        (LESS, (0.05, 0.0, 0.1), "good"),
        (LESS, (0.05, 0.0, 0.11), "fair"),
        (LESS, (0.2, 0.0, 0.3), "fair"),
        (LESS, (0.2, 0.0, 0.31), "cannot tell"),
        (LESS, (0.5, 0.3, 0.9), "cannot tell"),
        (LESS, (0.5, 0.31, 0.9), "poor"),
        (MORE, (0.7, 0.6, 0.8), "good"),
        (MORE, (0.7, 0.5, 0.8), "fair"),
        (MORE, (0.5, 0.3, 0.8), "cannot tell"),
        (MORE, (0.2, 0.1, 0.39), "poor"),
        (MORE, (0.5, None, None), "fair"),
        (MORE, (0.5, 0.3, None), "cannot tell"),
        (MORE, (None, None, None), "cannot tell"),
    ],
)
def test_a_word_is_what_the_whole_interval_allows_to_say(bound, estimate, word):
    assert scorecard.word_of(*estimate, bound) == word


def test_all_is_good_where_all_figures_are(document):
    assert {score.word for score in scorecard.scorecard(document())} == {"good"}
    assert not any(score.remarks for score in scorecard.scorecard(document()))


@pytest.mark.parametrize(
    ("name", "group", "figure", "estimate", "word"),
    [
        ("fidelity", "worst", "kid_relative", (0.9, 0.8, 1.0), "poor"),
        ("fidelity", "mean", "kid_relative", (0.15, 0.12, 0.18), "fair"),
        ("variety", "worst", "diversity", (0.05, 0.0, 0.1), "poor"),
        ("balance", "worst", "label_agreement_ratio", (0.7, 0.5, 0.9), "cannot tell"),
        ("copying", "worst", "closest_record_ratio", (0.01, 0.0, 0.02), "poor"),
    ],
)
def test_each_of_the_four_hangs_on_its_own_figures(document, name, group, figure, estimate, word):
    evaluation = document()
    evaluation["groups"][group][figure] = estimate[0]
    evaluation["groups"][group]["intervals"][figure] = list(estimate[1:])
    found = scores(evaluation)
    assert found[name].word == word and {found[other].word for other in found if other != name} == {"good"}


def test_a_dead_class_is_poor_balance_and_is_named(document):
    evaluation = document()
    evaluation["balance"]["dead"] = ["few"]
    balance = scores(evaluation)["balance"]
    assert balance.word == "poor" and balance.figures[0].where == "few" and balance.figures[0].value == 1


def test_coverage_is_held_against_that_of_real_images_and_the_worst_class_counts(document):
    evaluation = document()
    evaluation["per_class"]["some"] |= {"coverage": 0.45, "null_coverage": 0.9}
    evaluation["per_class"]["some"]["intervals"]["coverage"] = [0.36, 0.54]
    figure = scores(evaluation)["variety"].figures[1]
    assert (figure.value, figure.lo, figure.where) == (pytest.approx(0.5), pytest.approx(0.4), "some")
    assert figure.hi == pytest.approx(0.6) and figure.word == "cannot tell"
    assert scores(evaluation)["variety"].meaning == "There are too few images of class some to say."
    evaluation["per_class"]["few"]["coverage"] = None
    unknown = scores(evaluation)["variety"]
    assert unknown.word == "cannot tell" and unknown.figures[1].where == "few" and "not be measured" in unknown.meaning


def test_a_small_p_value_alone_is_not_poor(document):
    evaluation = document()
    evaluation["memorization"]["p"] = 1e-9
    assert scores(evaluation)["copying"].word == "fair"


def rule(figure, outcome):
    return {
        "rule": f"class[label_agreement].{figure} >= 0.95",
        "figure": figure,
        "outcome": outcome,
        "passed": outcome == "pass",
    }


@pytest.mark.parametrize(("outcome", "told"), [("fail", "does not hold"), ("cannot_tell", "cannot be told")])
def test_a_stricter_rule_is_named_beside_a_better_word(document, outcome, told):
    evaluation = document()
    evaluation["rules"] = [rule("diversity", outcome), rule("coverage", "pass")]
    found = scores(evaluation)
    (remark,) = found["variety"].remarks
    assert found["variety"].word == "good" and told in remark and evaluation["rules"][0]["rule"] in remark
    assert found["balance"].remarks == ()


def test_a_poor_word_that_no_rule_asks_about_says_so(document):
    evaluation = document()
    evaluation["groups"]["worst"]["diversity"], evaluation["groups"]["worst"]["intervals"]["diversity"] = 0.1, None
    assert scores(evaluation)["variety"].remarks == ("No rule of the gate asks about this.",)
    evaluation["rules"] = [rule("worst.diversity", "pass")]
    assert scores(evaluation)["variety"].remarks == ("The rules of the gate that ask about this hold.",)
    evaluation["rules"] = [rule("worst.diversity", "fail")]
    assert scores(evaluation)["variety"].remarks == ()


def test_the_bounds_are_in_order_and_those_of_the_default_rules():
    bounds = {bound.figure: bound for aspect in scorecard.BOUNDS.values() for bound in aspect}
    for bound in bounds.values():
        assert bound.good >= bound.fair if bound.more_is_better else bound.good <= bound.fair
    asked = dict(text.split(" >= ") if ">=" in text else text.split(" <= ") for text in GateOptions().rules)
    shared = bounds.keys() & asked.keys()
    assert {name: bounds[name].fair for name in shared} == {name: float(asked[name]) for name in shared}


def test_the_documentation_has_these_bounds():
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page[page.index("| | figure | good | fair |") : page.index("They are fixed")]
    cells = [[cell.strip() for cell in row.split("|")[2:5]] for row in table.splitlines()[2:] if row]
    bounds = [bound for aspect in scorecard.BOUNDS.values() for bound in aspect]
    assert [[float(cell.strip("≤≥ ")) for cell in row[1:]] for row in cells] == [[b.good, b.fair] for b in bounds]
    for (name, good, _), bound in zip(cells, bounds, strict=True):
        assert good.startswith("≥") == bound.more_is_better or not bound.good
        assert not name.startswith("`") or name.strip("`") == bound.figure
