"""Where the time of a training step goes: `python benchmarks/profile_step.py`.

Profiles 50 steps of the default network (28x28x1, 64 images) with TensorFlow's profiler and prints each kind of
operation with its part of the time that all of them take, added up over threads.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from tailgan_step import CLASSES, examples

from models.build import build_gan
from models.options import GANOptions

STEPS = 50
# What a person would call it, by a part of the kernel's name; the first that fits.
KINDS = {
    "convolutions, backward": ("BackpropInput", "BackpropFilter"),
    "convolutions, forward": ("Conv2D",),
    "matrix products": ("MatMul",),
    "activations and their gradients": ("Relu", "Tanh"),
    "reductions": ("Sum", "Mean", "L2Loss"),
    "random numbers": ("Stateless",),
    "assignments": ("Assign",),
    "elementwise": ("Mul", "Add", "Sub", "Div", "Sqrt", "Square", "Neg", "Select", "Maximum", "Tile"),
}


def profile() -> xplane_pb2.XSpace:
    """What the profiler saw of steps that were warm."""
    options = GANOptions(steps=STEPS)
    data = examples(2048, [28, 28, 1])
    gan = build_gan(options, data, [str(label) for label in range(CLASSES)], {}, 0)
    batches = data.batches(options.batch_size, 0)
    gan.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        gan.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return xplane_pb2.XSpace.FromString(path.read_bytes())


def kinds(space: xplane_pb2.XSpace) -> Counter[str]:
    """Picoseconds of each kind of operation."""
    took: Counter[str] = Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                node, _, kernel = names[event.metadata_id].rpartition(":")
                kind = next((kind for kind, parts in KINDS.items() if any(part in kernel for part in parts)), None)
                if node and kind:
                    took[kind] += event.duration_ps
    return took


if __name__ == "__main__":
    found = kinds(profile())
    print("| operations | part of the time |\n|---|---|")
    for kind, picoseconds in found.most_common():
        print(f"| {kind} | {100 * picoseconds / found.total():.0f} % |")
