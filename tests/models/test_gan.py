"""How the networks train each other."""

import numpy as np
import pytest
import tensorflow as tf

from models import training
from models.options import GANOptions

SMALL = GANOptions(width=8, latent={"dim": 8}, batch_size=16)


def build(examples, hyperparameters=None, seed=0, options=SMALL):
    gan = training.build(options.model_copy(update={"steps": 1}), examples, 10, hyperparameters or {}, seed)
    gan.run_eagerly = True  # a few small steps take less time than the tracing of a graph
    return gan


def run(gan, examples, steps, skip=0, seed=0):
    batches = examples.batches(SMALL.batch_size, seed, skip)
    return gan.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


@pytest.fixture
def gan(digits):
    return build(digits.train)


def values(variables):
    return [np.array(variable) for variable in variables]


def test_a_step_moves_every_trained_weight_and_reports_finite_losses(digits):
    gan = build(digits.train, options=SMALL.model_copy(update={"loss": "non_saturating"}))
    before = values(gan.generator.trainable_variables), values(gan.discriminator.trainable_variables)
    history = run(gan, digits.train, 2).history
    assert set(history) == {"d_loss", "g_loss", "d_real", "d_fake"} and np.isfinite(list(history.values())).all()
    for old, network in zip(before, (gan.generator, gan.discriminator), strict=True):
        for value, variable in zip(old, network.trainable_variables, strict=True):
            assert np.any(value != variable.numpy()), variable.path
    assert gan.step.numpy() == 2


def test_the_generators_step_leaves_the_discriminator_alone(gan, digits):
    gan.discriminator_optimizer.learning_rate = 0.0
    spectral = [v for v in gan.discriminator.variables if v.path.endswith("/u")]
    before, vectors = values(gan.discriminator.trainable_variables), values(spectral)
    updated = [layer for layer in gan.discriminator.layers if hasattr(layer, "u")]
    run(gan, digits.train, 1)
    for old, new in zip(before, gan.discriminator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    # One power iteration, that of the discriminator's own step.
    for layer, u in zip(updated, vectors, strict=True):
        matrix = layer.kernel.numpy().reshape(-1, len(u))
        once = matrix.T @ (matrix @ u)
        np.testing.assert_allclose(layer.u, once / np.linalg.norm(once), rtol=1e-3, atol=1e-5)


def test_the_average_follows_weights_and_batch_statistics_with_a_warm_up(gan, digits):
    expected = values(gan.ema.variables)
    assert any("moving" in v.path for v in gan.ema.variables)
    for step in range(3):
        run(gan, digits.train, 1, skip=step)
        decay = min(SMALL.ema_decay, (1 + step) / (10 + step))
        expected = [
            decay * old + (1 - decay) * new.numpy() for old, new in zip(expected, gan.generator.variables, strict=True)
        ]
    for mine, average in zip(expected, gan.ema.variables, strict=True):
        np.testing.assert_allclose(average, mine, rtol=1e-4, atol=1e-6)
    assert any(
        np.abs(a.numpy() - g.numpy()).max() > 1e-4
        for a, g in zip(gan.ema.variables, gan.generator.variables, strict=True)
    )


def test_generated_labels_follow_their_distribution_and_are_no_function_of_z(digits):
    options = GANOptions(width=4, latent={"dim": 4}, fake_labels="power", fake_labels_alpha=1.0)
    counts = [70, 0, 30, 0, 0, 0, 0, 0, 0, 0]
    gan = training.build(options, digits.train, 10, {"counts_before": counts}, seed=0)
    z, labels = gan._draw(tf.constant(20_000))
    parts = np.bincount(labels, minlength=10) / 20_000
    np.testing.assert_allclose(parts, [0.7, 0, 0.3, 0, 0, 0, 0, 0, 0, 0], atol=0.015)
    for column in (z.numpy()[:, 0], *np.abs(z.numpy()).T):
        assert abs(np.corrcoef(column, labels.numpy() == 2)[0, 1]) < 0.03
    assert z.numpy().mean() == pytest.approx(0, abs=0.02) and z.numpy().std() == pytest.approx(1, abs=0.02)


def test_each_step_draws_anew(gan):
    first = gan._draw(tf.constant(8))[0].numpy()
    gan.step.assign(1)
    assert not np.array_equal(first, gan._draw(tf.constant(8))[0].numpy())


def weights_after(examples, hyperparameters, steps=2):
    gan = build(examples, hyperparameters)
    run(gan, examples, steps)
    return np.concatenate([v.numpy().ravel() for v in gan.generator.trainable_variables])


def test_class_weights_change_training_and_equal_ones_do_not(digits):
    plain = weights_after(digits.train, {})
    np.testing.assert_array_equal(weights_after(digits.train, {"class_weights": [1.0] * 10}), plain)
    assert np.any(weights_after(digits.train, {"class_weights": [1.0] * 5 + [9.0] * 5}) != plain)


def test_real_images_of_weight_zero_do_not_train_the_discriminator(digits):
    """Poisoned images with weight 0 leave the same discriminator as other poisoned ones."""
    results = []
    for level in (0.0, 1.0):
        gan = build(digits.train)
        images = np.repeat(np.float32([[-0.5], [level]]), 8, axis=0).reshape(16, 1, 1, 1) * np.ones(
            (1, 8, 8, 1), np.float32
        )
        batch = (images, np.zeros(16, np.int64), np.repeat(np.float32([1, 0]), 8))
        gan.fit(tf.data.Dataset.from_tensors(batch), shuffle=False, verbose=0)
        results.append(np.concatenate([v.numpy().ravel() for v in gan.discriminator.trainable_variables]))
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-7)


def test_equal_seeds_train_equal_weights_and_others_do_not(digits):
    def state(seed):
        gan = build(digits.train, seed=seed)
        run(gan, digits.train, 2, seed=seed)
        return values(gan.state())

    one, again, other = state(1), state(1), state(2)
    assert all(map(np.array_equal, one, again))
    assert not all(map(np.array_equal, one, other))


def test_the_state_holds_all_that_training_changes(gan, digits):
    everything = [
        *gan.variables, *gan.generator.variables, *gan.discriminator.variables, *gan.ema.variables,
        *gan.generator_optimizer.variables, *gan.discriminator_optimizer.variables,
    ]  # fmt: skip
    before = values(everything)
    run(gan, digits.train, 1)
    held = {id(variable) for variable in gan.state()}
    means = {v.path for mean in gan.metrics for v in mean.variables}
    for old, variable in zip(before, everything, strict=True):
        if np.any(old != variable.numpy()) and variable.path not in means:
            assert id(variable.value) in held, variable.path


@pytest.mark.e2e
def test_a_generator_learns_to_make_the_class_that_is_asked_for(balanced, judge, tmp_path):
    options = GANOptions(steps=500)
    gan = training.build(options, balanced, 10, {}, seed=0)
    training.train(gan, options, balanced, 0, tmp_path)
    labels = np.repeat(np.arange(10), 30)
    z = tf.random.stateless_normal((300, options.latent.dim), (5, 5))
    images = gan.ema([z, tf.constant(labels)], training=False).numpy()
    agrees = judge.judge(np.round((images + 1) * 127.5).astype(np.uint8))["logits"].numpy().argmax(1) == labels
    assert agrees.mean() >= 0.9
    # Varied: within a class, pixels vary, if not yet as much as they do in real images.
    real = np.mean([(balanced.images[balanced.labels == k] / 127.5).std(0).mean() for k in range(10)])
    assert np.mean([images[labels == k].std(0).mean() for k in range(10)]) > 0.3 * real
