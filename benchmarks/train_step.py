"""A training step side by side with its peers: `python benchmarks/train_step.py [ROUNDS]` (default 7).

Peers take turns, a few seconds each, so that whatever else the machine does slows all of them; the rates are medians
of the turns and the ratios medians of the ratios within a round. All have the same network, batch and threads, which
is checked by the number of parameters. PyTorch is run by `.venv-peers/bin/python`, which `make peers` makes, or by the
interpreter that TAILGAN_PEERS_PYTHON names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

HOME = Path(__file__).resolve().parent.parent
PEERS = HOME / "benchmarks" / "peers"
TORCH = os.environ.get("TAILGAN_PEERS_PYTHON", str(HOME / ".venv-peers" / "bin" / "python"))
THREADS = len(os.sched_getaffinity(0))
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.environ.get("PYTHONPATH", str(HOME)),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": str(THREADS),
}

DCGAN = {
    "gan": {"network": "dcgan", "width": 24, "batch_size": 64, "steps": 50},
    "image_shape": [28, 28, 1],
    "threads": THREADS,
}
RESNET = {
    "gan": {"network": "resnet", "width": 32, "batch_size": 64, "steps": 10},
    "image_shape": [32, 32, 3],
    "threads": THREADS,
}
MLP = {
    "gan": {
        "network": "mlp",
        "width": 256,
        "batch_size": 64,
        "steps": 50,
        "loss": "non_saturating",
        "discriminator": {"spectral_norm": False},
    },
    "image_shape": [28, 28, 1],
    "threads": THREADS,
}


class Peer:
    """A process that makes steps when it is told to; see peers/serve.py."""

    def __init__(self, name: str, python: str, script: str, setting: dict):
        """Starts it."""
        self.name = name
        self._process = subprocess.Popen(
            [python, str(PEERS / script), json.dumps(setting)],
            cwd=HOME, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        self._told, self._answers = self._process.stdin, self._process.stdout
        self.about = json.loads(self._answer())

    def _answer(self) -> str:
        line = self._answers.readline()
        if not line:
            sys.exit(f"the peer `{self.name}` has ended with exit code {self._process.wait()}")
        return line

    def seconds(self, steps: int) -> float:
        """Wall seconds of so many steps."""
        self._told.write(f"{steps}\n")
        self._told.flush()
        return float(self._answer())

    def end(self) -> None:
        """Lets it go."""
        self._told.close()
        self._process.wait()


def side_by_side(title: str, peers: list[Peer], steps: int, rounds: int) -> None:
    """Prints a line for each peer; the first is ours, the ratio says how many times as fast as this peer it is."""
    if len({tuple(peer.about["parameters"]) for peer in peers}) != 1:
        sys.exit(f"not the same network: {[(peer.name, peer.about) for peer in peers]}")
    for peer in peers:
        peer.seconds(2 * steps)  # compiles
    turns = [[peer.seconds(steps) / steps for peer in peers] for _ in range(rounds)]
    for peer, times in zip(peers, zip(*turns, strict=True), strict=True):
        ratio = median(time / own for time, (own, *_) in zip(times, turns, strict=True))
        print(
            f"| {title} | {peer.name} | {1000 * median(times):.1f} | {1 / median(times):.1f} | {ratio:.2f} |",
            flush=True,
        )
    for peer in peers:
        peer.end()


def torch_peers(setting: dict) -> list[Peer]:
    """PyTorch, eager and compiled, each in the memory format in which it is the faster."""
    eager = [
        Peer(f"PyTorch, eager, {'channels last' if last else 'channels first'}", TORCH, "torch_step.py",
             {**setting, "compile": False, "channels_last": last})
        for last in (False, True)
    ]  # fmt: skip
    if shutil.which("g++") is None:
        return eager
    compiled = Peer(
        "PyTorch, torch.compile", TORCH, "torch_step.py", {**setting, "compile": True, "channels_last": True}
    )
    return [*eager, compiled]


def table(rounds: int) -> None:
    """All comparisons."""
    print("| network | step | ms | steps a second | ours is so many times as fast |\n|---|---|---|---|---|")
    cases = (("DCGAN 28x28x1, 64 images", DCGAN, 50), ("ResNet 32x32x3, 64 images", RESNET, 10))
    for title, setting, steps in cases:
        peers = [Peer("tailgan", sys.executable, "tailgan_step.py", setting)]
        if Path(TORCH).exists():
            peers += torch_peers(setting)
        side_by_side(title, peers, steps, rounds)
    if not Path(TORCH).exists():
        print(f"\nPyTorch's rows are left out: there is no {TORCH}; `make peers` makes it.\n")
    elif shutil.which("g++") is None:
        print("\ntorch.compile's rows are left out: it needs a C++ compiler, g++.\n")
    loops = [
        Peer(f"Keras, train_on_batch, {name}", sys.executable, "keras_loop.py", {**MLP, "eager": eager})
        for name, eager in (("eager", True), ("a graph each", False))
    ]
    side_by_side(
        "MLP 28x28x1, 64 images", [Peer("tailgan", sys.executable, "tailgan_step.py", MLP), *loops], 50, rounds
    )
    both = [
        Peer(name, sys.executable, "tailgan_step.py", {**DCGAN, "constant": constant})
        for name, constant in (("tailgan, real input", False), ("tailgan, one batch over and over", True))
    ]
    side_by_side("DCGAN 28x28x1, 64 images", both, 50, 2 * rounds)


if __name__ == "__main__":
    table(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    subprocess.run([sys.executable, str(PEERS / "long_run.py")], cwd=HOME, env=ENVIRONMENT, check=True)
