"""Losses and terms of a batch that is spread over two devices are those of the batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]


def on_devices(count: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "tests.models.programs.losses_on_devices", str(count)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("RESULT")[2])


@pytest.mark.e2e
def test_two_devices_give_the_values_gradients_and_states_of_one():
    one, two = on_devices(1), on_devices(2)
    assert one.keys() == two.keys() and len(one) == 3 * (2 * 7 + 4) + 4
    for name, figures in one.items():
        assert two[name] == pytest.approx(figures, rel=1e-4, abs=1e-5), name
    # 0 are a lazy term between its steps, the first step of a moving average, and terms without a state.
    zero = {name for name, figures in one.items() if not any(figures)}
    assert zero == {"r1, step 1", "lecam, step 0", "r1, state", "gradient_penalty, state"}
