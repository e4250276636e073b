"""The whole document from views: good generators are blessed, broken ones rejected with the fault in words."""

import json

import numpy as np
import pytest

from components.evaluator.comparison import Other
from components.evaluator.evaluation import evaluate
from components.evaluator.options import GateOptions
from components.evaluator.verdict import already_serving
from components.evaluator.views import Known, View
from components.evaluator.whole_figures import memorization
from metrics.kernel import kernel_distance
from models.errors import UserError

TRAIN = [90, 60, 30, 15]
OPTIONS = GateOptions(resamples=200)
MADE = [200] * 4


def judged(gaussians, made, eval_counts=(60, 60, 60, 60), known=None, options=OPTIONS, others=()):
    classes = len(gaussians.names)
    real = gaussians.view(list(eval_counts), 0)
    document = evaluate(real, made, known or gaussians.known(TRAIN[:classes]), gaussians.names, options, others)
    json.dumps(document, allow_nan=False)
    return document


def with_rows(view, label, **parts):
    """The view with rows of one class replaced."""
    own = view.labels == label
    new = {name: getattr(view, name).copy() for name in ("labels", "features", "probabilities", "pixels")}
    for name, rows in parts.items():
        new[name][own] = rows
    return View(**new)


def test_a_good_generator_is_blessed(gaussians):
    document = judged(gaussians, gaussians.view(MADE, 1))
    assert (document["verdict"], document["blessed"]) == ("blessed", True)
    assert document["reasons"] == ["all 6 rules hold", "nothing to compare with"]
    assert all(rule["passed"] for rule in document["rules"])


def test_a_gate_without_margins_says_that_nothing_was_compared(gaussians):
    options = OPTIONS.model_copy(update={"not_worse": {}})
    document = judged(gaussians, gaussians.view(MADE, 1), options=options)
    assert document["reasons"] == ["all 6 rules hold", "gate.not_worse names nothing to compare"]


def test_the_document_has_what_it_promises(gaussians):
    document = judged(gaussians, gaussians.view(MADE, 1))
    assert document.keys() >= {
        "verdict", "blessed", "reasons", "warnings", "rules", "compared", "fid", "kid", "inception_score",
        "label_agreement", "precision", "recall", "density", "coverage", "c2st", "intervals", "balance", "memorization",
        "null", "per_class", "groups",
    }  # fmt: skip
    assert {name: row["group"] for name, row in document["per_class"].items()} == {
        "a": "head", "b": "middle", "c": "tail", "d": "tail",
    }  # fmt: skip
    assert document["groups"].keys() == {"head", "middle", "tail", "mean", "worst"}
    assert [document["per_class"][name]["train_unique"] for name in "abcd"] == TRAIN


def test_a_class_that_is_never_made_is_named_with_what_it_looks_like(gaussians):
    document = judged(gaussians, gaussians.view(MADE, 1, drawn_as={3: 0}))
    assert document["verdict"] == "rejected"
    assert any("class d is " in r and "ever made" in r and "look like a" in r for r in document["reasons"])
    assert document["balance"]["dead"] in ([], ["d"])


def test_swapped_labels_are_named_once(gaussians):
    reasons = judged(gaussians, gaussians.view(MADE, 1, drawn_as={1: 2, 2: 1}))["reasons"]
    about = [r for r in reasons if "swapped" in r and "worst.label_agreement_ratio" in r]
    assert len(about) == 1 and "classes b and c are swapped" in about[0]


def test_copies_of_training_images_are_named(gaussians):
    known = gaussians.known(TRAIN)
    copies = np.tile(known.of_class(2).pixels, (10, 1))[: MADE[2]]
    document = judged(gaussians, with_rows(gaussians.view(MADE, 1), 2, pixels=copies), known=known)
    assert document["verdict"] == "rejected"
    reason, part = document["reasons"]
    assert part.startswith(
        "100% of the images of class c lie nearer to training images than unseen ones do (copied 1 ["
    )
    assert reason.startswith("images of class c are copies of training images (closest_record_ratio 0 [0, 0];")
    assert document["memorization"]["p"] < 1e-6


def test_half_a_class_of_copies_is_rejected_by_the_default_rules(gaussians):
    known, made = gaussians.known(TRAIN), gaussians.view([500] * 4, 1)
    half = made.of_class(0).pixels.copy()
    half[::2] = np.tile(known.of_class(0).pixels, (10, 1))[:250]
    document = judged(gaussians, with_rows(made, 0, pixels=half), known=known)
    assert document["verdict"] == "rejected"
    (reason,) = document["reasons"]
    assert "of the images of class a lie nearer to training images" in reason and "`worst.copied <= 0.3`" in reason


def test_rules_on_the_p_values_of_classes_are_decided_by_their_values(gaussians):
    rules = ("worst.kid_p >= 0.001", "worst.memorization_p >= 1e-6", "class[c].judge_recall >= 0.5")
    options = GateOptions(resamples=2000, rules=rules)
    assert judged(gaussians, gaussians.view(MADE, 1), options=options)["blessed"]
    known, made = gaussians.known(TRAIN), gaussians.view(MADE, 1)
    copies = np.tile(known.of_class(2).pixels, (10, 1))[: MADE[2]]
    off = made.of_class(1).features + 4 * np.eye(made.features.shape[1])[5]
    bad = with_rows(with_rows(made, 2, pixels=copies), 1, features=off)
    document = judged(gaussians, bad, known=known, options=options)
    assert [rule["outcome"] for rule in document["rules"]] == ["fail", "fail", "pass"]
    assert [rule["where"] for rule in document["rules"]] == ["b", "c", "c"]
    assert document["reasons"][1].startswith("images of class c lie nearer to training images than unseen ones do (mem")
    unknown = judged(gaussians, made, (60, 60, 60, 9), known, GateOptions(resamples=100, rules=rules[1:2]))
    assert unknown["rules"][0]["outcome"] == "cannot_tell" and unknown["rules"][0]["where"] == "d"


def test_a_class_with_one_image_is_named(gaussians):
    reasons = judged(gaussians, gaussians.view(MADE, 1, spread={1: 1e-6}))["reasons"]
    assert any(r.startswith("all images of class b are alike (diversity") for r in reasons)


def test_images_unlike_real_ones_are_named(gaussians):
    made = gaussians.view(MADE, 1)
    off = made.of_class(0).features + 4 * np.eye(made.features.shape[1])[5]
    reasons = judged(gaussians, with_rows(made, 0, features=off))["reasons"]
    assert any(r.startswith("images of class a are unlike real ones; the nearest other class is") for r in reasons)


def test_at_most_five_classes_are_named_for_a_rule(make_gaussians):
    gaussians = make_gaussians(8)
    real, known = gaussians.view([20] * 8, 0), gaussians.known([20] * 8)
    made = gaussians.view([50] * 8, 1, spread=dict.fromkeys(range(8), 1e-6))
    options = GateOptions(resamples=100, rules=("worst.diversity >= 0.4",))
    reasons = evaluate(real, made, known, gaussians.names, options)["reasons"]
    assert len(reasons) == 6 and reasons[5] == "and 3 more classes fail `worst.diversity >= 0.4`"


@pytest.mark.parametrize("part", ["features", "probabilities", "pixels"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_generator_of_nans_is_rejected_without_figures(gaussians, part, value):
    broken = with_rows(gaussians.view(MADE, 1), 1, **{part: value})
    good, document = judged(gaussians, gaussians.view(MADE, 1)), judged(gaussians, broken)
    assert (document["verdict"], document["blessed"]) == ("rejected", False)
    assert document["reasons"] == ["200 of 800 generated images are not finite numbers: the generator is broken"]
    assert document["kid"] is None and document["groups"]["worst"]["kid"] is None
    assert {rule["outcome"] for rule in document["rules"]} == {"cannot_tell"}
    assert document.keys() == good.keys() and document["per_class"]["a"].keys() == good["per_class"]["a"].keys()
    assert document["memorization"].keys() == good["memorization"].keys()
    assert document["balance"].keys() == good["balance"].keys()


def test_real_images_that_are_no_numbers_are_a_fault_of_the_input(gaussians):
    made, known = gaussians.view(MADE, 1), gaussians.known(TRAIN)
    with pytest.raises(UserError, match="60 of 240 real eval images"):
        evaluate(with_rows(gaussians.view([60] * 4, 0), 1, features=np.nan), made, known, gaussians.names, OPTIONS)
    with pytest.raises(UserError, match="training images"):
        evaluate(
            gaussians.view([60] * 4, 0), made, Known(known.labels, known.pixels * np.nan), gaussians.names, OPTIONS
        )
    with pytest.raises(UserError, match="no images"):
        evaluate(gaussians.view([0] * 4, 0), made, known, gaussians.names, OPTIONS)
    with pytest.raises(UserError, match=r"60 eval images have a label that is none of the 3 classes"):
        evaluate(gaussians.view([60] * 4, 0), made, known, gaussians.names[:3], OPTIONS)


@pytest.mark.parametrize("n", [0, 1])
def test_a_class_without_held_out_images_blocks_or_warns_as_asked(gaussians, n):
    block = judged(gaussians, gaussians.view(MADE, 1), (60, 60, 60, n))
    assert block["verdict"] == "rejected" and not any(rule["outcome"] == "fail" for rule in block["rules"])
    assert any(f"class d has {n} held-out and 15 training images" in reason for reason in block["reasons"])
    warn = judged(
        gaussians, gaussians.view(MADE, 1), (60, 60, 60, n), options=GateOptions(resamples=200, cannot_tell="warn")
    )
    assert warn["verdict"] == "blessed" and "the others cannot be told" in warn["reasons"][0]
    assert any("kid_relative of class d is not known" in warning for warning in warn["warnings"])
    assert any(f"d ({n})" in warning for warning in warn["warnings"])


def test_what_is_known_to_be_bad_is_rejected_even_where_another_class_cannot_be_told(gaussians):
    options = GateOptions(resamples=200, cannot_tell="warn")
    document = judged(gaussians, gaussians.view(MADE, 1, drawn_as={0: 1}), (60, 60, 60, 0), options=options)
    assert document["verdict"] == "rejected" and any("class a is" in reason for reason in document["reasons"])


@pytest.mark.parametrize("n", [0, 1, 4])
def test_faults_that_generated_images_show_by_themselves_need_no_held_out_images(gaussians, n):
    options, known, made = (
        GateOptions(resamples=200, cannot_tell="warn"),
        gaussians.known(TRAIN),
        gaussians.view(MADE, 1),
    )
    assert judged(gaussians, made, (60, 60, 60, n), options=options)["blessed"]
    one = made.of_class(3).take(slice(1))
    alike = judged(gaussians, with_rows(made, 3, features=one.features), (60, 60, 60, n), options=options)
    assert alike["verdict"] == "rejected"
    assert any(r.startswith("all images of class d are alike (diversity 0 [0, 0]") for r in alike["reasons"])
    copies = np.tile(known.of_class(3).pixels, (14, 1))[: MADE[3]]
    document = judged(gaussians, with_rows(made, 3, pixels=copies), (60, 60, 60, n), known, options)
    assert document["verdict"] == "rejected"
    assert document["reasons"][0].startswith(
        "images of class d are copies of training images (closest_record_ratio 0 [0"
    )


def test_without_rules_nothing_is_blessed(gaussians):
    document = judged(gaussians, gaussians.view(MADE, 1), options=GateOptions(resamples=200, rules=()))
    assert document["verdict"] == "rejected" and "no rules" in document["reasons"][0]


def test_a_single_class_is_judged_without_a_relative_kid(make_gaussians):
    gaussians = make_gaussians(1)
    document = judged(gaussians, gaussians.view([100], 1), (50,))
    assert document["verdict"] == "rejected" and document["groups"]["tail"]["classes"] == ["a"]
    assert [rule["rule"] for rule in document["rules"] if not rule["passed"]] == ["worst.kid_relative <= 0.3"]
    rules = (*tuple(rule for rule in OPTIONS.rules if "kid_relative" not in rule), "worst.kid <= 9")
    assert judged(gaussians, gaussians.view([100], 1), (50,), options=GateOptions(resamples=200, rules=rules))[
        "blessed"
    ]


def test_a_single_class_can_be_pushed_again(make_gaussians):
    gaussians = make_gaussians(1)
    rules = (*tuple(rule for rule in OPTIONS.rules if "kid_relative" not in rule), "worst.kid <= 9")
    options = GateOptions(resamples=200, rules=rules)
    served = (Other("serving", 7, gaussians.view([200], 2)),)
    document = judged(gaussians, gaussians.view([200], 1), (50,), options=options, others=served)
    assert document["blessed"] and {row["figure"] for row in document["compared"]} == {"label_agreement"}
    assert "kid_relative is not compared: there is no other class to measure it by" in document["warnings"]
    alone = judged(gaussians, gaussians.view([200], 1), (50,), options=options)
    assert not any("not compared" in warning for warning in alone["warnings"])


def test_worse_than_what_serves_is_rejected_and_named(gaussians):
    served, best = (Other(role, v, gaussians.view(MADE, v)) for role, v in (("serving", 7), ("best", 5)))
    slightly = gaussians.view(MADE, 1, towards={0: (1, 0.45)})
    options = GateOptions(resamples=200, rules=("label_agreement >= 0.5",))
    document = judged(gaussians, slightly, options=options, others=(served, best))
    assert document["verdict"] == "rejected"
    assert any("kid_relative of class a is worse than that of the serving version 7" in r for r in document["reasons"])
    assert any("best served version 5" in r for r in document["reasons"])
    assert {(row["against"], row["version"]) for row in document["compared"]} == {("serving", 7), ("best", 5)}


def test_as_good_as_what_serves_is_blessed(gaussians):
    options = GateOptions(resamples=200, not_worse={"kid_relative": 0.2, "label_agreement": 0.2})
    document = judged(
        gaussians, gaussians.view(MADE, 1), options=options, others=(Other("serving", 7, gaussians.view(MADE, 2)),)
    )
    assert (
        document["reasons"][1] == "not worse than the serving version 7 in kid_relative, label_agreement of any class"
    )


def test_a_served_version_that_is_broken_is_no_baseline(gaussians):
    broken = with_rows(gaussians.view(MADE, 2), 0, features=np.nan)
    document = judged(gaussians, gaussians.view(MADE, 1), others=(Other("serving", 7, broken),))
    told = "not compared with version 7, which serves: its images are not finite numbers"
    assert document["compared"] == [] and document["warnings"] == [told]
    assert document["reasons"] == ["all 6 rules hold", told]


def test_a_blessing_says_with_what_it_was_not_compared_beside_what_it_was(gaussians):
    real, known = gaussians.view((60,) * 4, 0), gaussians.known((100,) * 4)
    options = GateOptions(resamples=200, not_worse={"kid_relative": 0.2, "label_agreement": 0.2})
    other = Other("serving", 7, gaussians.view(MADE, 2))
    document = evaluate(real, gaussians.view(MADE, 1), known, gaussians.names, options, [other], ["not with version 5"])
    assert document["reasons"][1].startswith("not worse than the serving version 7")
    assert document["reasons"][2:] == ["not with version 5"] and document["warnings"] == []


def test_what_serves_already_is_not_pushed_again_even_if_a_rule_fails_now(gaussians):
    bad = already_serving(judged(gaussians, gaussians.view(MADE, 1, drawn_as={3: 0})), 7)
    assert (bad["verdict"], bad["blessed"]) == ("already_serving", True)
    assert "version 7" in bad["reasons"][0] and len(bad["reasons"]) > 1
    good = already_serving(judged(gaussians, gaussians.view(MADE, 1)), 7)
    assert good["reasons"] == ["this generator is what serves, as version 7"]


def test_the_whole_takes_as_many_generated_images_of_a_class_as_there_are_real_ones(gaussians):
    made, counts = gaussians.view(MADE, 1), (60, 30, 20, 10)
    document = judged(gaussians, made, counts)
    assert document["balance"]["wanted"] == list(counts)
    first = np.concatenate([np.flatnonzero(made.labels == c)[:n] for c, n in enumerate(counts)])
    real = gaussians.view(list(counts), 0)
    assert document["kid"] == pytest.approx(kernel_distance(real.features, made.features[first]), rel=1e-6)


def test_of_a_folder_with_too_few_images_of_a_class_all_classes_are_thinned_alike(gaussians):
    document = judged(gaussians, gaussians.view([200, 200, 200, 30], 1), (60, 60, 40, 60))
    assert document["balance"]["wanted"] == [30, 30, 20, 30]


def test_of_many_images_pairs_are_looked_at_evenly_over_classes(gaussians, monkeypatch):
    monkeypatch.setattr("components.evaluator.whole_figures.MOST", 24)
    document = judged(gaussians, gaussians.view(MADE, 1), (60, 30, 20, 10))
    assert document["null"]["n"] == 12 and document["balance"]["wanted"] == [60, 30, 20, 10]


def test_of_many_images_of_a_class_the_first_are_held_against_all_training_images(gaussians, monkeypatch):
    real, made, train = gaussians.view([60, 40, 30, 12], 0), gaussians.view(MADE, 1), gaussians.view(MADE, 2)
    known = Known(train.labels, train.pixels)
    monkeypatch.setattr("components.evaluator.whole_figures.MOST_OF_A_CLASS", 20)
    first = [np.concatenate([np.flatnonzero(v.labels == c)[:20] for c in range(4)]) for v in (real, made)]
    few, fewer = real.take(first[0]), made.take(first[1])
    assert memorization(real, made, made, known, 4) == memorization(few, fewer, fewer, known, 4)
    monkeypatch.undo()
    assert memorization(real, made, made, known, 4) != memorization(few, fewer, fewer, known, 4)


def test_equal_input_gives_an_equal_document(gaussians):
    others = (Other("serving", 7, gaussians.view(MADE, 2)),)
    one, two = (judged(gaussians, gaussians.view(MADE, 1), others=others) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    assert (
        one["compared"]
        != judged(gaussians, gaussians.view(MADE, 1), others=(Other("serving", 7, gaussians.view(MADE, 3)),))[
            "compared"
        ]
    )


def test_classes_with_few_held_out_images_are_one_cell(gaussians):
    assert judged(gaussians, gaussians.view(MADE, 1), (60, 20, 6, 7))["memorization"]["cells"] == 3
    assert judged(gaussians, gaussians.view(MADE, 1), (60, 20, 4, 3))["memorization"]["cells"] == 2


def test_the_test_for_copying_is_right_for_small_classes_of_different_spread(gaussians):
    """How often p is below .05 for a generator that is perfect, with a cell of two classes that spread differently."""
    spread, eval_counts = {2: 3.0, 3: 0.3}, [1, 1, 9, 3]
    wrong = 0
    for seed in range(0, 900, 3):
        real, made = gaussians.view(eval_counts, seed, spread=spread), gaussians.view(MADE, seed + 1, spread=spread)
        train = gaussians.view([5, 5, 30, 30], seed + 2, spread=spread)
        found = memorization(real, made, made, Known(train.labels, train.pixels), 4)
        assert found["cells"] == 1
        wrong += found["p"] < 0.05
    assert wrong / 300 <= 0.08


def test_null_is_at_half_of_the_images_where_fid_is_higher(gaussians):
    document = judged(gaussians, gaussians.view(MADE, 1))
    assert document["null"]["n"] == 120
    assert document["null"]["model_fid"] == pytest.approx(document["null"]["fid"], abs=0.5)
    assert document["null"]["model_fid"] > document["fid"]
    assert abs(document["null"]["kid"]) < 0.5


def test_training_images_without_a_label_belong_to_no_class(gaussians):
    known = gaussians.known(TRAIN)
    unlabelled = Known(np.append(known.labels, -1), np.concatenate([known.pixels, known.pixels[:1]]))
    made = gaussians.view(MADE, 1)
    assert judged(gaussians, made, known=unlabelled) == judged(gaussians, made, known=known)
