"""Keras's optimizers by name: rates, clipping, and what is refused."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from models.optimizers import Optimizer
from models.options import OPTIMIZER_ARGUMENTS, OptimizerOptions


def moved(gradient, steps=1, **options):
    """How far so many equal gradients move a variable that begins at 0, and the norms that were reported."""
    variable = keras.Variable(np.zeros_like(gradient, np.float32))
    optimizer = Optimizer(OptimizerOptions(**options), 10)
    optimizer.build([variable])
    norms = [
        float(optimizer.step([keras.ops.convert_to_tensor(gradient, "float32")], [variable])) for _ in range(steps)
    ]
    return variable.numpy(), norms


@pytest.mark.parametrize("name", OPTIMIZER_ARGUMENTS)
def test_every_optimizer_goes_down_the_gradient(name):
    value, _ = moved([1.0, -2.0], name=name, learning_rate=0.1)
    assert value[0] < 0 < value[1]


def test_plain_gradient_descent_is_rate_times_gradient():
    value, norms = moved([3.0, -4.0], name="sgd", learning_rate=0.1)
    np.testing.assert_allclose(value, [-0.3, 0.4], rtol=1e-6)
    assert norms == [5.0]


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.9, 0.8, 0.7]),
        ("cosine", 0.5 * (1 + np.cos(np.pi * np.arange(4) / 10))),
        ("exponential", 0.5 ** (2 * np.arange(4) / 10)),
    ],
)
def test_schedules_count_steps_from_zero(schedule, factors):
    for steps in range(1, 5):
        value, _ = moved([1.0], steps, name="sgd", learning_rate=0.5, schedule=schedule, halvings=2)
        np.testing.assert_allclose(value, [-0.5 * sum(factors[:steps])], rtol=1e-5)


def test_gradients_are_clipped_by_value_and_by_their_common_norm_and_the_norm_told_is_that_before():
    value, norms = moved([3.0, -4.0], name="sgd", learning_rate=1.0, clip_value=1.0)
    np.testing.assert_allclose(value, [-1, 1])
    assert norms == [5.0]
    value, _ = moved([3.0, -4.0], name="sgd", learning_rate=1.0, clip_global_norm=1.0)
    np.testing.assert_allclose(value, [-0.6, 0.8], rtol=1e-6)


def test_adam_has_the_decays_that_suit_a_gan_unless_told_otherwise():
    configured = Optimizer(OptimizerOptions(beta_2=0.9), 1)._keras
    assert (configured.beta_1, configured.beta_2) == (0.5, 0.9)


def test_the_scale_lowers_all_rates_and_is_part_of_the_state():
    variable = keras.Variable([0.0])
    optimizer = Optimizer(OptimizerOptions(name="sgd", learning_rate=1.0), 10)
    optimizer.build([variable])
    optimizer.schedule.scale.assign(0.25)
    optimizer.step([keras.ops.ones(1)], [variable])
    assert variable.numpy() == [-0.25]
    assert any(state is optimizer.schedule.scale for state in optimizer.variables)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.9}, "`momentum` is no argument of adam, which takes beta_1, beta_2"),
        ({"name": "adagrad", "rho": 0.9}, "`rho` is no argument of adagrad, which takes none of its own"),
        ({"name": "lion"}, "Input should be 'adam'"),
    ],
)
def test_arguments_of_another_optimizer_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        OptimizerOptions(**options)
