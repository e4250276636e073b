"""Every family: shapes, conditioning, sizes, and that its options do what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks import build_networks
from models.networks.options import FAMILIES
from models.options import GANOptions

HOME = Path(__file__).parents[3]
G_CONDITIONING = ("conditional_batch_norm", "embedding", "concat", "none")
D_CONDITIONING = ("projection", "concat", "acgan", "none")


def small(network="dcgan", generator=None, discriminator=None, **rest) -> GANOptions:
    discriminator = discriminator or {}
    if discriminator.get("conditioning") == "acgan":
        rest["loss"] = "acgan"
    latent = {"dim": 3, **rest.pop("latent", {})}
    return GANOptions.model_validate(
        {"network": network, "width": 4, "latent": latent, "generator": generator or {}}
        | {"discriminator": discriminator, **rest}
    )


def build(options, shape=(8, 8, 1), classes=3, **rest):
    keras.utils.set_random_seed(0)
    return build_networks(options, shape, classes, **rest)


def latent(labels, dim=3):
    """The same z for every label."""
    labels = tf.constant(labels, tf.int64)
    return tf.repeat(tf.random.stateless_normal((1, dim), (0, 1)), len(labels), axis=0), labels


@pytest.fixture(autouse=True)
def dtype_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("conditioning", G_CONDITIONING)
@pytest.mark.parametrize("network", FAMILIES)
def test_a_generator_makes_images_of_the_label_and_clones_make_the_same(network, conditioning):
    generator, _ = build(small(network, {"conditioning": conditioning}))
    for table in generator.weights:  # of equal gains and biases at first
        if "table" in table.path:
            table.assign(tf.random.stateless_normal(table.shape, (0, 2)))
    z, labels = latent([0, 1, 2, 0])
    images = generator([z, labels], training=False).numpy()
    assert images.shape == (4, 8, 8, 1) and images.dtype == np.float32 and np.abs(images).max() <= 1
    np.testing.assert_allclose(images[0], images[3], atol=1e-6)
    assert np.allclose(images[0], images[1], atol=1e-6) == (conditioning == "none")
    other = generator([-z, labels], training=False).numpy()
    assert not np.allclose(images, other, atol=1e-6)
    clone = keras.models.clone_model(generator)
    clone.set_weights(generator.get_weights())
    np.testing.assert_array_equal(clone([z, labels], training=False), images)


@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize("conditioning", D_CONDITIONING)
@pytest.mark.parametrize("network", FAMILIES)
def test_a_discriminators_outputs(network, conditioning, unlabelled):
    _, discriminator = build(small(network, discriminator={"conditioning": conditioning}), unlabelled=unlabelled)
    images = tf.repeat(tf.random.stateless_normal((1, 8, 8, 1), (0, 1)), 4, axis=0)
    out = discriminator([images, tf.constant([0, 1, 0, -1], tf.int64)])
    assert set(out) == {"logit", "features", *(["class_logits"] if conditioning == "acgan" else [])}
    assert all(np.isfinite(value).all() and value.dtype == tf.float32 for value in out.values())
    assert out["logit"].shape == (4,) and len(out["features"].shape) == 2
    if conditioning == "acgan":
        assert out["class_logits"].shape == (4, 3)
    logit = out["logit"].numpy()
    assert logit[0] == pytest.approx(logit[2], abs=1e-6)
    assert (logit[0] == pytest.approx(logit[1], abs=1e-6)) == (conditioning in ("acgan", "none"))
    again = keras.models.clone_model(discriminator)
    again.set_weights(discriminator.get_weights())
    np.testing.assert_array_equal(again([images, tf.constant([0, 1, 0, -1], tf.int64)])["logit"], logit)


@pytest.mark.parametrize("conditioning", ["projection", "concat"])
def test_rows_without_a_label_train_nothing_that_belongs_to_a_class(conditioning):
    _, discriminator = build(small(discriminator={"conditioning": conditioning}), unlabelled=True)
    images = tf.random.stateless_normal((4, 8, 8, 1), (0, 1))

    def moved(labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(discriminator([images, tf.constant(labels, tf.int64)])["logit"])
        weights = [v.value for v in discriminator.trainable_variables]
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        return [bool(np.any(g)) for g in gradients]

    without, told = moved([-1] * 4), moved([0, 1, 2, 0])
    heads = [i for i, v in enumerate(discriminator.trainable_variables) if "table" in v.path or v.shape[-1:] == (1,)]
    of_table = [i for i in heads if "table" in discriminator.trainable_variables[i].path]
    assert len(heads) == 1 + 2 * 2 and len(of_table) == 1
    assert not without[of_table[0]] and told[of_table[0]]
    # Each head is trained by its own rows alone; all else by both.
    for i, (a, b) in enumerate(zip(without, told, strict=True)):
        assert (a != b) if i in heads else (a and b)


@pytest.mark.parametrize("network", FAMILIES)
@pytest.mark.parametrize("pair", [*zip(G_CONDITIONING, D_CONDITIONING, strict=True)], ids="/".join)
def test_gradients_reach_every_trained_weight(network, pair):
    options = small(network, {"conditioning": pair[0]}, {"conditioning": pair[1]})
    generator, discriminator = build(options)
    z, labels = tf.random.stateless_normal((9, 3), (0, 1)), tf.constant([0, 1, 2] * 3, tf.int64)
    weights = [*generator.trainable_variables, *discriminator.trainable_variables]
    with tf.GradientTape() as tape:
        out = discriminator([generator([z, labels], training=True), labels], training=True)
        # Not a plain sum, whose gradient batch normalization cancels.
        loss = sum(tf.reduce_sum(tf.sin(3 * value + 0.5)) for value in out.values())
    for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), weight.path


@pytest.mark.parametrize("network", FAMILIES)
@pytest.mark.parametrize(
    ("shape", "classes"), [((4, 4, 1), 2), ((7, 5, 1), 1), ((30, 30, 3), 1000), ((33, 47, 3), 2), ((128, 128, 1), 2)]
)
def test_images_of_any_size_channels_and_number_of_classes(network, shape, classes):
    generator, discriminator = build(small(network), shape, classes)
    z, labels = latent([0, classes - 1])
    images = generator([z, labels], training=True)
    assert images.shape == (2, *shape) and np.isfinite(images).all()
    assert np.isfinite(discriminator([images, labels])["logit"]).all()


@pytest.mark.parametrize("network", FAMILIES)
def test_width_and_depth_have_effect_and_the_familys_own_are_taken_when_empty(network):
    def count(**keys):
        return [model.count_params() for model in build(GANOptions(network=network, **keys))]

    own, plain = FAMILIES[network], count()
    assert plain == count(width=own.width, depth=own.depth)
    for other in (count(width=own.width + 4), count(depth=own.depth + 1)):
        assert all(a > b for a, b in zip(other, plain, strict=True))


@pytest.mark.parametrize("network", FAMILIES)
def test_every_layer_option_builds_with_every_family(network):
    own = {"dropout": 0.5, "l1": 0.1, "l2": 0.1, "initializer": "normal_0.02", "spectral_norm": True}
    of_g = own | {"conditioning": "concat", "norm": "layer", "activation": "gelu"}
    of_d = own | {"norm": "batch", "joint_batch": False, "activation": "elu"}
    generator, discriminator = build(small(network, of_g, of_d, depth=2))
    z, labels = latent([0, 1, 2])
    assert np.isfinite(discriminator([generator([z, labels], training=True), labels], training=True)["logit"]).all()
    for model in (generator, discriminator):
        kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
        assert kernels and all(abs(float(np.std(kernel)) - 0.02) < 0.015 for kernel in kernels)
        expected = 0.1 * sum(np.abs(kernel).sum() + np.square(kernel).sum() for kernel in kernels)
        assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
        assert all(hasattr(layer, "u") for layer in model.layers if hasattr(layer, "kernel"))
    norms = [
        [layer for layer in m.layers if "Normalization" in type(layer).__name__] for m in (generator, discriminator)
    ]
    assert {type(layer).__name__ for layer in norms[0]} == {"GroupNormalization"}
    assert {type(layer).__name__ for layer in norms[1]} == {"BatchNormalization"}


def test_by_default_nothing_is_added_to_the_loss_and_nothing_dropped():
    for model in build(small()):
        assert model.losses == [] and not [layer for layer in model.layers if type(layer).__name__ == "Dropout"]


def test_dropout_acts_in_training_alone_and_differs_from_call_to_call():
    _, discriminator = build(small(discriminator={"dropout": 0.5}))
    images, labels = tf.ones((2, 8, 8, 1)), tf.constant([0, 1], tf.int64)
    plain = [discriminator([images, labels], training=False)["logit"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*plain)
    one, other = (discriminator([images, labels], training=True)["logit"].numpy() for _ in range(2))
    assert np.any(one != other) and np.any(one != plain[0])


@pytest.mark.parametrize("conditioning", ["conditional_batch_norm", "embedding", "concat"])
def test_rare_class_noise_is_drawn_for_each_image_in_training_alone_by_rarity(conditioning):
    def spread(training):
        options = small("mlp", {"conditioning": conditioning, "norm": None}, latent={"tail_noise": 0.5})
        generator, _ = build(options, classes=2, rarity=[1e-6, 1.0])
        z, labels = latent([0] * 8 + [1] * 8)
        first, second = (generator([z, labels], training=training).numpy() for _ in range(2))
        again = build(options, classes=2, rarity=[1e-6, 1.0])[0]([z, labels], training=training)
        np.testing.assert_array_equal(again, first)  # seeds follow from set_random_seed
        assert np.array_equal(first, second) != training
        return first[:8].std(0).max(), first[8:].std(0).max()

    assert max(spread(training=False)) < 1e-6
    common, rare = spread(training=True)
    assert common < 1e-3 and rare > 0.01


def test_a_clone_of_a_noisy_generator_is_quiet_where_the_original_is():
    generator, _ = build(small(latent={"tail_noise": 0.5}), rarity=[1.0] * 3)
    clone = keras.models.clone_model(generator)
    clone.set_weights(generator.get_weights())
    assert len(clone.weights) == len(generator.weights) < len(generator.variables)
    z, labels = latent([0, 1, 2])
    np.testing.assert_array_equal(clone([z, labels]), generator([z, labels]))
    assert np.any(clone([z, labels], training=True) != generator([z, labels], training=True))


def test_rare_class_noise_without_rarity_is_refused():
    options = small(latent={"tail_noise": 0.5})
    for rarity in (None, [1.0]):
        with pytest.raises(ValueError, match="rarity of each of the 3 classes"):
            build(options, rarity=rarity)


def test_an_unknown_family_is_refused_with_the_known():
    with pytest.raises(ValueError, match="unknown network `nope`; known: mlp, mlp_bn, dcgan, vgg, resnet"):
        build(small().model_copy(update={"network": "nope"}))


@pytest.mark.parametrize("network", FAMILIES)
def test_in_bfloat16_outputs_and_weights_stay_float32_and_gradients_finite(network):
    keras.config.set_dtype_policy("mixed_bfloat16")
    of_d = {"conditioning": "acgan", "dropout": 0.1}
    generator, discriminator = build(
        small(network, {"spectral_norm": True}, of_d, latent={"tail_noise": 0.1}), rarity=[1.0] * 3
    )
    z, labels = latent([0, 1, 2])
    with tf.GradientTape() as tape:
        images = generator([z, labels], training=True)
        out = discriminator([images, labels], training=True)
        loss = tf.add_n([tf.reduce_sum(value) for value in out.values()])
    assert images.dtype == tf.float32 and all(value.dtype == tf.float32 for value in out.values())
    # Hidden layers compute in bfloat16, and spectral norms in float32.
    (first, *_) = [layer for layer in discriminator.layers if hasattr(layer, "u")]
    assert first.compute_dtype == "bfloat16" and first._normalized_kernel(False).dtype == tf.float32
    weights = [*generator.trainable_variables, *discriminator.trainable_variables]
    assert {w.dtype for w in weights} == {"float32"}
    for gradient in tape.gradient(loss, [w.value for w in weights]):
        assert gradient.dtype == tf.float32 and np.isfinite(gradient).all()


ON_TWO_DEVICES = """
import json, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from models.networks import build_networks
from models.options import GANOptions

options = GANOptions.model_validate(
    {"network": "mlp_bn", "width": 4, "depth": 1, "latent": {"dim": 3, "tail_noise": 0.3},
     "generator": {"dropout": 0.2}, "discriminator": {"dropout": 0.2}})
z, y = tf.random.stateless_normal((8, 3), (0, 1)), tf.constant([0, 1, 2, 0, 1, 2, 0, 1], tf.int64)
found = []
for devices in (1, 2):
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    with strategy.scope():
        keras.utils.set_random_seed(0)
        g, d = build_networks(options, (8, 8, 1), 3, rarity=[0.1, 0.5, 1.0])

    def part(context):
        rows = 8 // devices
        first = context.replica_id_in_sync_group * rows
        return z[first : first + rows], y[first : first + rows]

    def step(inputs):
        z, y = inputs
        return tf.reduce_sum(d([g([z, y], training=True), y], training=True)["logit"])

    values = strategy.experimental_distribute_values_from_function(part)
    run = tf.function(lambda values: strategy.reduce("SUM", strategy.run(step, [values]), axis=None))
    logits = [float(run(values)) for _ in range(2)]
    state = [[v.path, v.numpy().tolist()] for m in (g, d) for v in m.variables if not v.trainable]
    found.append([logits, state])
print("RESULT" + json.dumps(found))
"""


def test_two_devices_draw_and_keep_what_one_does():
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES], capture_output=True, text=True, cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(HOME), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (logits, state), (logits_of_two, state_of_two) = json.loads(done.stdout.partition("RESULT")[2])
    np.testing.assert_allclose(logits_of_two, logits, rtol=1e-4, atol=1e-5)
    kinds = ("moving_mean", "moving_variance", "/u", "seed_generator_state")
    assert all(any(path.endswith(kind) for path, _ in state) for kind in kinds)
    for (_, one), (_, two) in zip(state, state_of_two, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
