"""The Evaluator, and the metrics side by side with their peers: `python benchmarks/metrics.py [ROUNDS]` (default 3).

Peers take turns, so that whatever else the machine does slows all of them; seconds are medians of the turns, ratios
medians of the ratios within a round. Each side is a process of its own, whose peak memory counts its libraries and the
features. Differences are relative, the largest of the values of a figure. torch-fidelity and prdc are run by
`.venv-peers/bin/python`, which `make peers` makes, or by the interpreter that TAILGAN_PEERS_PYTHON names.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

HOME = Path(__file__).resolve().parent.parent
SCRIPT = HOME / "benchmarks" / "peers" / "figures.py"
PEERS = os.environ.get("TAILGAN_PEERS_PYTHON", str(HOME / ".venv-peers" / "bin" / "python"))
IMAGES, COLUMNS = 10_000, 2048
CLASSES, CLASS_IMAGES, CLASS_COLUMNS = 10, 1000, 64
# What comes before the Evaluator is trained for a moment only: its time does not depend on how good they are.
QUICK = ("gan.steps=20", "classifier.steps=100", "gan.helper_steps=20")
# Figure, our function and the peer's in figures.py, the peer, and the precisions of features that it is given.
COMPARISONS = (
    ("FID", "tailgan_fid", "torch_fidelity_fid", "torch-fidelity", ("float64",)),
    ("KID, all pairs", "tailgan_kid", "torch_fidelity_kid", "torch-fidelity", ("float64", "float32")),
    (
        "KID, 100 subsets of 1,000",
        "tailgan_subsets",
        "torch_fidelity_subsets",
        "torch-fidelity",
        ("float64", "float32"),
    ),
    ("PRDC, k = 5", "tailgan_prdc", "prdc_prdc", "prdc", ("float32",)),
)


class Side:
    """A process that computes a figure when it is told to; see peers/figures.py."""

    def __init__(self, label: str, python: str, function: str, files: list[Path]):
        """Starts it, and waits until it has loaded the features."""
        self.label = label
        self._process = subprocess.Popen(
            [python, str(SCRIPT), function, *map(str, files)],
            cwd=HOME, env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(HOME))},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        self._told, self._answers = self._process.stdin, self._process.stdout
        self._answer()

    def _answer(self) -> dict:
        line = self._answers.readline()
        if not line:
            sys.exit(f"`{self.label}` has ended with exit code {self._process.wait()}")
        return json.loads(line)

    def turn(self) -> dict:
        """Computes once: seconds, values, peak."""
        self._told.write("\n")
        self._told.flush()
        return self._answer()

    def end(self) -> None:
        """Lets it go."""
        self._told.close()
        self._process.wait()


def features(seed: int, shift: float) -> np.ndarray:
    """[IMAGES, COLUMNS] float32, like a network's: not negative, a third zeros, correlated, of falling variance."""
    mix = np.random.default_rng(99).standard_normal((COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
    random = np.random.default_rng(seed)
    spread = 1.7 * np.linspace(1, 0, COLUMNS) ** 2
    return np.maximum((random.standard_normal((IMAGES, COLUMNS)) * spread) @ mix + 0.1 + shift, 0).astype(np.float32)


def save(folder: Path, name: str, array: np.ndarray) -> Path:
    """The file that holds it."""
    np.save(folder / name, array)
    return folder / name


def difference(values: list[float], reference: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(value - other) / abs(other) for value, other in zip(values, reference, strict=True))


def side_by_side(figure: str, sides: list[Side], rounds: int) -> None:
    """Prints a line for each side; the first is ours, the second what digits are compared with."""
    turns = [[side.turn() for side in sides] for _ in range(rounds)]
    ours, reference = turns[-1][0], turns[-1][min(1, len(sides) - 1)]
    for side, own in zip(sides, zip(*turns, strict=True), strict=True):
        ratio = median(turn["seconds"] / first["seconds"] for turn, (first, *_) in zip(own, turns, strict=True))
        seconds, cpu = (median(turn[name] for turn in own) for name in ("seconds", "cpu"))
        last = own[-1]
        print(
            f"| {figure} | {side.label} | {seconds:.1f} | {cpu:.1f} | {ratio:.2f} | {last['peak']:.0f} | "
            f"{last['peak'] / ours['peak']:.1f} | {last['values'][0]:.8g} | "
            f"{difference(last['values'], reference['values']):.0e} |",
            flush=True,
        )
        side.end()


def compare(folder: Path, rounds: int) -> None:
    """FID, KID and PRDC of 10,000 real and 10,000 generated images."""
    shared = {"float32": [save(folder, f"{name}.npy", features(*of)) for name, *of in (("a", 1, 0), ("b", 2, 0.01))]}
    shared["float64"] = [
        save(folder, f"{path.stem}64.npy", np.load(path).astype(np.float64)) for path in shared["float32"]
    ]
    print(
        f"{IMAGES:,} real and as many generated images, {COLUMNS} columns of float32\n\n"
        "| figure | by | seconds | of CPUs | ours is so many times as fast | peak MiB | so many times ours | value | "
        "differs from the peer's first row by |\n|---|---|---|---|---|---|---|---|---|"
    )
    for figure, function, theirs, peer, precisions in COMPARISONS:
        sides = [Side("tailgan", sys.executable, function, shared["float32"])]
        if Path(PEERS).exists():
            sides += [Side(f"{peer}, {precision}", PEERS, theirs, shared[precision]) for precision in precisions]
        side_by_side(figure, sides, rounds)
    if not Path(PEERS).exists():
        print(f"\nThe peers' rows are left out: there is no {PEERS}; `make peers` makes it.")


def intervals(folder: Path, rounds: int) -> None:
    """1,000 resamples of KID and of relative KID, for each class."""
    random = np.random.default_rng(0)
    shape = (CLASSES, CLASS_IMAGES, CLASS_COLUMNS)
    means = random.standard_normal((CLASSES, 1, CLASS_COLUMNS))
    files = [
        save(folder, f"{name}.npy", (random.standard_normal(shape) + means).astype(np.float32))
        for name in ("real", "fake")
    ]
    side = Side("tailgan", sys.executable, "tailgan_intervals", files)
    turns = [side.turn() for _ in range(rounds)]
    side.end()
    seconds, cpu = (median(turn[name] for turn in turns) for name in ("seconds", "cpu"))
    print(
        f"1,000 resamples of KID and of relative KID for {CLASSES} classes of {CLASS_IMAGES:,} real and as many "
        f"generated images, {CLASS_COLUMNS} columns: {seconds:.1f} s ({cpu:.1f} s of CPUs), "
        f"{turns[-1]['peak']:.0f} MiB.\n",
        flush=True,
    )


def tailgan(*arguments: str) -> float:
    """Runs a command, whose verdict does not matter; its peak memory in MiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments], cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    told = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        sys.exit(told)
    return usage.ru_maxrss / 1024


def evaluator(folder: Path) -> None:
    """The whole Evaluator on whole data sets: its seconds in a run, and its memory by the number of images it makes."""
    data = Path(os.environ.get("TAILGAN_DATA", HOME.parent / "shared")) / "tfds"
    sets = {"digits": [], "fashion_mnist_lt": [f"data.data_dir={data}"] if data.is_dir() else None}
    for name, own in sets.items():
        if own is None:
            print(f"The Evaluator on {name} is left out: there is no {data}.")
            continue
        root, config = folder / name, f"configs/{name}.yaml"
        settings = [part for key in (*QUICK, *own) for part in ("--set", key)]
        tailgan("run", config, "--root", str(root), *settings)
        seconds = json.loads((root / "run.json").read_text(encoding="utf-8"))["nodes"]["Evaluator"]["seconds"]
        evaluation = json.loads(next(root.glob("artifacts/*/Evaluator/evaluation/*/evaluation.json")).read_text())
        made = sum(row["generated"] for row in evaluation["per_class"].values())
        print(f"The Evaluator on {name}: {evaluation['judge']['eval_images']:,} real and {made:,} generated images, "
              f"{seconds:.1f} s.", flush=True)  # fmt: skip
        if name == "digits":
            model = next(root.glob("artifacts/*/GAN/model/*/Format-Serving"))
            judge = ["evaluate", "--model", str(model), "--config", config, "--root", str(root), *settings]
            peaks = [tailgan(*judge, "--set", f"gate.samples_per_class={count}") for count in (500, 5000)]
            print(
                f"`tailgan evaluate` of 500 and of 5,000 images a class: {peaks[0]:.0f} and {peaks[1]:.0f} MiB at most."
            )


def main() -> None:
    """All tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        evaluator(Path(folder))
        intervals(Path(folder), rounds)
        compare(Path(folder), rounds)


if __name__ == "__main__":
    main()
