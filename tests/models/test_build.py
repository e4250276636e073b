"""What a configuration makes of data before the first step."""

import doctest

import pytest

from models import build
from models.errors import UserError
from models.options import GANOptions


def test_generated_labels_follow_the_options():
    def probabilities(**kwargs):
        return build.fake_label_probabilities(GANOptions(**kwargs), ("a", "b"), [30, 10], [100, 1]).tolist()

    assert probabilities(fake_labels="data") == [0.75, 0.25]
    assert probabilities(fake_labels="uniform") == [0.5, 0.5]
    assert probabilities(fake_labels="power", fake_labels_alpha=0.5) == pytest.approx([10 / 11, 1 / 11])
    assert probabilities(fake_labels={"b": 3, "a": 1}) == [0.25, 0.75]
    assert doctest.testmod(build).failed == 0


@pytest.mark.parametrize("how", ["uniform", "power", "data"])
def test_a_class_without_images_is_not_generated(how):
    options = GANOptions(fake_labels=how)
    assert build.fake_label_probabilities(options, ("a", "b", "c"), [30, 0, 30], [30, 4, 30])[1] == 0


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"a": 1, "x": 1}, "there is no class `x`; there are: a, b"),
        ({"a": 1, "b": 1}, "class `b` has no training images"),
        ({"a": 0}, "nothing to generate"),
    ],
)
def test_shares_of_generated_labels_that_do_not_fit_are_refused(shares, message):
    with pytest.raises(UserError, match=message):
        build.fake_label_probabilities(GANOptions(fake_labels=shares), ("a", "b"), [30, 0], [30, 0])


@pytest.mark.parametrize(
    ("generator", "discriminator", "told"),
    [("none", "projection", True), ("concat", "none", True), ("none", "none", False), ("concat", "projection", False)],
)
def test_a_label_that_only_one_of_both_is_told_is_warned_of(digits, caplog, generator, discriminator, told):
    options = GANOptions.model_validate({
        "network": "mlp", "width": 4, "depth": 1, "steps": 1,
        "generator": {"conditioning": generator}, "discriminator": {"conditioning": discriminator},
    })  # fmt: skip
    build.build_gan(options, digits.train, "0123456789", {}, seed=0)
    assert ("the label cannot be learned" in caplog.text) == told
