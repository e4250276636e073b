"""Every family of networks and every loss on the digits: `python benchmarks/results_models.py [STEPS]` (default 1000).

Data and judge are made once, by a run of `configs/digits.yaml`; then each configuration is trained by `models.training`
and judged as the pipeline's Evaluator does. Prints a table. Two trainings at a time, one thread each: on two cores that
is faster than one after another.

Diversity is the mean distance between two generated images of one class over that between two real ones, in pixels,
mean over classes: 1 is as different from each other as real images are.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.pop(0)  # this folder, whose metrics.py is another

HOME = Path(__file__).resolve().parent.parent
PREPARE = ["--set", "gan.steps=20", "--set", "gate.rules=[]"]
PER_CLASS = 200  # generated images that a class is judged by
TAIL = 3  # classes

_NO_SPECTRAL_NORM = {"discriminator": {"spectral_norm": False}}
CONFIGURATIONS: dict[str, dict] = {
    "`mlp`, `hinge`": {"network": "mlp"},
    "`mlp_bn`, `hinge`": {"network": "mlp_bn"},
    "`dcgan`, `hinge`": {"network": "dcgan"},
    "`vgg`, `hinge`": {"network": "vgg"},
    "`resnet`, `hinge`": {"network": "resnet"},
    "`dcgan`, `minimax`": {"loss": "minimax"},
    "`dcgan`, `non_saturating`": {"loss": "non_saturating"},
    "`dcgan`, `least_squares`": {"loss": "least_squares"},
    "`dcgan`, `wasserstein` with `gradient_penalty`, no spectral normalization": {
        "loss": "wasserstein", "terms": {"gradient_penalty": {}}, **_NO_SPECTRAL_NORM,
    },
    "`dcgan`, `relativistic`": {"loss": "relativistic"},
    "`dcgan`, `acgan`": {"loss": "acgan", "discriminator": {"conditioning": "acgan"}},
    "`dcgan`, `hinge` with `r1`": {"terms": {"r1": {}}},
    "`dcgan`, `hinge` with `lecam: {start_step: 200}`": {"terms": {"lecam": {"start_step": 200}}},
    "`dcgan`, `hinge` with `class_balance`": {"terms": {"class_balance": {}}},
    "`dcgan`, `hinge` with `class_balance: {weight: 10}`": {"terms": {"class_balance": {"weight": 10}}},
    "`dcgan`, `hinge` with `tail_noise: 0.3`": {"latent": {"tail_noise": 0.3}},
    "`dcgan`, `non_saturating` with `r1: {gamma: 1}`, no spectral normalization": {
        "loss": "non_saturating", "terms": {"r1": {"gamma": 1}}, **_NO_SPECTRAL_NORM,
    },
    "`dcgan`, `relativistic` with `gradient_penalty`, no spectral normalization": {
        "loss": "relativistic", "terms": {"gradient_penalty": {}}, **_NO_SPECTRAL_NORM,
    },
    "`dcgan`, `wasserstein`": {"loss": "wasserstein"},
    "`dcgan`, `wasserstein` with `clip_weights: 0.05`, no spectral normalization": {
        "loss": "wasserstein", "clip_weights": 0.05, **_NO_SPECTRAL_NORM,
    },
}  # fmt: skip


def trained(root: Path, options: dict) -> dict[str, float]:
    """Trains one configuration and judges it; in a process of its own."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from components.evaluator.judge import Judge
    from metrics.frechet import frechet_distance
    from metrics.kernel import kernel_distance
    from models import data, training
    from models.build import build_gan
    from models.dataset import DatasetInfo
    from models.export import export_generator
    from models.generator import Generator
    from models.options import GANOptions

    source, balanced = (
        _artifact(root, f"{node}/examples/*/dataset.json").parent for node in ("ExampleGen", "Rebalancer")
    )
    info = DatasetInfo.load(str(source))
    examples = data.read(f"{balanced}/Split-train/*", info)
    parsed = GANOptions(**options)
    hyperparameters = json.loads(_artifact(root, "Rebalancer/hyperparameters/*/best_hyperparameters.txt").read_text())
    with tempfile.TemporaryDirectory() as folder:
        gan = build_gan(parsed, examples, info.classes, hyperparameters, 0, Path(folder))
        start = time.monotonic()
        training.train(gan, parsed, examples, 0, Path(folder))
        seconds = time.monotonic() - start
        export_generator(gan.ema, f"{folder}/export", info, {"steps": parsed.steps})
        generator = Generator(f"{folder}/export")
    judge = Judge(str(_artifact(root, "Judge/model/*/Format-Serving")))
    real_images, real_labels, _ = data.read_images(f"{source}/Split-eval/*", info)
    real = judge.look(real_images)[0]

    def generated(labels: np.ndarray, first_seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images, their features, and which of them the judge takes for what was asked for."""
        images = generator.generate(labels, first_seed + np.arange(len(labels), dtype=np.int64))
        features, probabilities = judge.look(images)
        return images, features, probabilities.argmax(axis=1) == labels

    _, whole, agrees = generated(real_labels, 0)
    labels = np.repeat(np.arange(len(info.classes), dtype=np.int64), PER_CLASS)
    images, made, right = generated(labels, len(real_labels))
    classes = [(real_labels == label, labels == label) for label in range(len(info.classes))]
    rarest = np.argsort(info.counts["train"], kind="stable")[:TAIL]
    ratios = [_distance(images[fake]) / _distance(real_images[own]) for own, fake in classes]
    return {
        "steps": parsed.steps,
        "seconds": seconds,
        "agreement": float(agrees.mean()),
        "worst": min(float(right[fake].mean()) for _, fake in classes),
        "fid": frechet_distance(real, whole),
        "kid": kernel_distance(real, whole),
        "tail_kid": float(
            np.mean([kernel_distance(real[own], made[fake]) for own, fake in map(classes.__getitem__, rarest)])
        ),
        "diversity": float(np.mean(ratios)),
    }


def _artifact(root: Path, pattern: str) -> Path:
    """The only path below a pipeline's root that fits."""
    (found,) = (root / "artifacts").glob(pattern)
    return found


def _distance(images) -> float:
    """Mean Euclidean distance between two of the images [n, H, W, C]."""
    import numpy as np

    flat = images.reshape(len(images), -1).astype(np.float64)
    squares = (flat**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T, 0))
    return float(distances.sum() / (len(flat) * (len(flat) - 1)))


def row(root: Path, name: str, options: dict) -> str:
    """One line of the table."""
    environment = {**os.environ, "PYTHONPATH": str(HOME), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, __file__, str(root), json.dumps(options)],
        cwd=HOME, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        return f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} |"
    f = json.loads(done.stdout.splitlines()[-1])
    return (
        f"| {name} | {f['steps']} | {f['seconds']:.0f} | {f['agreement']:.3f} | {f['worst']:.3f} | {f['fid']:.2f} "
        f"| {f['kid']:.3f} | {f['tail_kid']:.3f} | {f['diversity']:.2f} |"
    )


def table(steps: int) -> None:
    """All configurations."""
    print("| network, loss | steps | seconds | agreement | worst class | FID | KID | tail KID | diversity |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        prepare = [sys.executable, "-m", "pipeline.cli", "run", "configs/digits.yaml", *PREPARE, "--root", str(root)]
        if subprocess.run(prepare, cwd=HOME, stdout=subprocess.DEVNULL).returncode != 3:  # nothing is blessed
            sys.exit("the run that prepares data and judge has failed")
        with ThreadPoolExecutor(2) as pool:
            rows = pool.map(lambda item: row(root, item[0], {**item[1], "steps": steps}), CONFIGURATIONS.items())
            for line in rows:
                print(line, flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(trained(Path(sys.argv[1]), json.loads(sys.argv[2]))))
    else:
        table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
