"""A batch that is spread over two devices trains as it does on one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Logical devices can be made only before TensorFlow has looked at its own. The discriminator's steps and clipping are
# part of it, and noise, labels, weights and hidden pixels of each image.
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
devices, out = int(sys.argv[1]), sys.argv[2]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * devices)
from models.build import build_gan
from models.data import Examples
from models.options import GANOptions
sgd = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.5, "clip_global_norm": 1.0}
options = GANOptions.model_validate({
    **%(options)s, "width": 8, "latent": {"dim": 4}, "batch_size": 16, "steps": 4,
    "generator_optimizer": sgd, "discriminator_optimizer": sgd,
    "strategy": "mirrored" if devices > 1 else "none"})
random = np.random.default_rng(0)
count = 64
examples = Examples(
    random.integers(0, 256, (count, 8, 8, 1), np.uint8), random.integers(0, 3, count), np.ones(count, np.float32),
    np.array([b"%%d" %% i for i in range(count)]))
gan = build_gan(options, examples, ("a", "b", "c"), {"class_weights": [1.0, 2.0, 0.5]}, seed=0)
def batch(step):
    rng = np.random.default_rng(step)
    return {"image": rng.uniform(-1, 1, (16, 8, 8, 1)).astype(np.float32), "label": rng.integers(-1, 3, 16),
            "weight": rng.uniform(0, 2, 16).astype(np.float32),
            "mask": rng.integers(0, 2, (16, 8, 8, 1)).astype(np.float32)}
columns = [batch(step) for step in range(4)]
data = tf.data.Dataset.from_tensor_slices(
    {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}).batch(16, drop_remainder=True)
assert gan.distribute_strategy.num_replicas_in_sync == devices
gan.fit(data, epochs=1, shuffle=False, verbose=0)
networks = {"generator": gan.generator, "discriminator": gan.discriminator, "ema": gan.ema}
np.savez(out, step=gan.step.numpy(),
    **{f"{name}/{i}": w for name, network in networks.items() for i, w in enumerate(network.get_weights())})
"""
NO_BATCH_STATISTICS = {"generator": {"conditioning": "concat", "norm": "none"}}


def run(tmp_path: Path, devices: int, options: dict) -> dict[str, np.ndarray]:
    out = tmp_path / f"{devices}.npz"
    command = [sys.executable, "-c", PROGRAM % {"options": repr(options)}, str(devices), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.mark.e2e
@pytest.mark.parametrize("options", [NO_BATCH_STATISTICS], ids=["hinge"])
def test_two_devices_train_the_weights_that_one_does(tmp_path, options):
    one, two = (run(tmp_path, devices, options) for devices in (1, 2))
    assert one["step"] == two["step"] == 4
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-5, err_msg=name)
