"""LeCam, against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from models.terms import lecam

# Of each step: logits of real and generated images.
REAL, FAKE = ([1.0, 3.0], [2.0, 6.0], [0.0, 4.0]), ([-1.0, 0.0], [1.0, -2.0], [3.0, 0.0])


def build(step, **options):
    return lecam.build(lecam.Options(**{"weight": 2.0, "decay": 0.75, "start_step": 0, **options}), step.setting())


def run(term, step, index, weights=None):
    real, fake = step.side(REAL[index], weights=weights), step.side(FAKE[index], weights=weights)
    return term.discriminator(real, fake, step.context(step=index)).numpy()


def test_two_steps_by_hand(step):
    term = build(step)
    assert run(term, step, 0) == 0  # the averages are those of the step: 2, -.5
    # Averages .75 * 2 + .25 * 4 = 2.5 and .75 * -.5 + .25 * -.5 = -.5.
    expected = ((2 + 0.5) ** 2 + (6 + 0.5) ** 2) / 2 + ((2.5 - 1) ** 2 + (2.5 + 2) ** 2) / 2
    assert run(term, step, 1) == pytest.approx(2 * expected)
    # .75 * 2.5 + .25 * 2 = 2.375 and .75 * -.5 + .25 * 1.5 = 0; 3 lies above the average of real images.
    expected = (0 + 4**2) / 2 + (0 + 2.375**2) / 2
    assert run(term, step, 2) == pytest.approx(2 * expected)


def test_it_is_weighted_and_so_are_the_averages(step):
    term, weights = build(step), [3.0, 1.0]
    run(term, step, 0, weights)
    mean_real = 0.75 * (3 * 1 + 3) / 4 + 0.25 * (3 * 2 + 6) / 4
    mean_fake = 0.75 * (-3 * 1 + 0) / 4 + 0.25 * (3 * 1 - 2) / 4
    excess_real = np.maximum(np.array(REAL[1]) - mean_fake, 0) ** 2
    excess_fake = np.maximum(mean_real - np.array(FAKE[1]), 0) ** 2
    expected = np.average(excess_real, weights=weights) + np.average(excess_fake, weights=weights)
    assert run(term, step, 1, weights) == pytest.approx(2 * expected)


def test_up_to_the_start_nothing_is_added_and_the_averages_are_the_steps_own(step):
    term = build(step, start_step=1)
    assert run(term, step, 0) == run(term, step, 1) == 0
    assert [variable.numpy() for variable in term.variables] == [4.0, -0.5]
    assert run(term, step, 2) > 0


def test_restored_variables_go_on_as_if_nothing_had_happened(step):
    one, other = build(step), build(step)
    for index in (0, 1):
        run(one, step, index)
    for source, target in zip(one.variables, other.variables, strict=True):
        target.assign(source)
    assert run(one, step, 2) == run(other, step, 2)


def test_the_discriminator_learns_by_its_logits_and_not_by_the_averages(step):
    term = build(step)
    run(term, step, 0)
    real, fake = step.side(REAL[1]), step.side(FAKE[1])
    with tf.GradientTape() as tape:
        tape.watch([real.outputs["logit"], fake.outputs["logit"]])
        value = term.discriminator(real, fake, step.context(step=1))
    of_real, of_fake = tape.gradient(value, [real.outputs["logit"], fake.outputs["logit"]])
    np.testing.assert_allclose(of_real, [2 * (2 + 0.5), 2 * (6 + 0.5)], rtol=1e-6)
    np.testing.assert_allclose(of_fake, [-2 * (2.5 - 1), -2 * (2.5 + 2)], rtol=1e-6)
