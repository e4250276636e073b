"""Training that is killed with SIGKILL at any moment ends with the very weights of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

STEPS = 400
# Everything that has a state: momenta, a schedule, dropout's and the noise's generators, the averages of LeCam, the
# strength of ADA, batch statistics, the position in the data.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from models import training
from models.build import build_gan
from models.data import Examples
from models.options import GANOptions
directory, out = Path(sys.argv[1]), sys.argv[2]
options = GANOptions.model_validate({
    "width": 8, "latent": {"dim": 8, "tail_noise": 0.3}, "batch_size": 16,
    "steps": int(sys.argv[3]), "checkpoint_every": 50,
    "discriminator_steps": 2, "discriminator": {"dropout": 0.2}, "generator": {"dropout": 0.2},
    "generator_optimizer": {"name": "rmsprop", "momentum": 0.5, "schedule": "cosine"},
    "terms": {"lecam": {"start_step": 20}, "r1": {}}, "augment": {"policy": "ada"},
})
rng = np.random.default_rng(0)
count = 150
examples = Examples(
    rng.integers(0, 256, (count, 8, 8, 1), np.uint8), rng.integers(0, 3, count),
    rng.uniform(0.5, 1.5, count).astype(np.float32), np.array([b"%d" % i for i in range(count)]))
gan = build_gan(options, examples, ("a", "b", "c"), {"counts_before": [100, 40, 10]}, seed=0)
training.train(gan, options, examples, 0, directory)
np.savez(out, *[variable.numpy() for variable in gan.state()])
"""


def start(directory: Path, out: Path) -> subprocess.Popen:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, directory, out, str(STEPS)], env=environment, stderr=subprocess.DEVNULL
    )


def steps_done(directory: Path) -> int:
    history = directory / "history.jsonl"
    return 50 * len(history.read_text().splitlines()) if history.exists() else 0


def state(out: Path) -> list[np.ndarray]:
    with np.load(out) as arrays:
        return [arrays[name] for name in arrays.files]


@pytest.mark.e2e
def test_a_run_that_is_killed_at_random_moments_ends_bit_for_bit_as_one_that_was_not(tmp_path):
    undisturbed = tmp_path / "undisturbed.npz"
    assert start(tmp_path / "a", undisturbed).wait() == 0
    chance = random.Random()
    directory, out = tmp_path / "b", tmp_path / "b.npz"
    for least in sorted(chance.sample(range(50, STEPS - 50, 50), 3)):
        process = start(directory, out)
        while steps_done(directory) < least and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 0 < steps_done(directory) < STEPS
    assert start(directory, out).wait() == 0
    for one, other in zip(state(undisturbed), state(out), strict=True):
        np.testing.assert_array_equal(one, other)
