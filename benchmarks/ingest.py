"""ExampleGen and the Rebalancer on real data: `python benchmarks/ingest.py`.

Each line of the table is a TFX executor in a process of its own; the clock starts when all imports are done. CPU
seconds and memory are those of the process and its children together. The data are Fashion-MNIST as TFDS prepares it,
in `tfds/`, and photographs of magnetic tiles, in `magnetic_tile/`, where `TAILGAN_DATA` says.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TAILGAN_DATA", HOME.parent / "shared"))
FASHION = DATA / "tfds" / "fashion_mnist" / "3.0.1"
TILES = DATA / "magnetic_tile"
TRAIN_FILE = "fashion_mnist-train.tfrecord-00000-of-00001"
ALONE = ["--runner=DirectRunner"]
TWO_WORKERS = [*ALONE, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def memory(pid: int) -> int:
    """KiB of a process and all below it, now; what they share is counted once."""
    try:
        shares = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1]
        own = int(shares.split()[0])
        below = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):  # It has ended meanwhile.
        return 0
    return own + sum(memory(int(child)) for child in below)


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Fills the dictionary with wall and CPU seconds and peak MiB of what is run inside."""
    found: dict[str, float] = {"peak": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            found["peak"] = max(found["peak"], memory(os.getpid()) / 2**10)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.monotonic(), sum(os.times()[:4])
    yield found
    found["wall"], found["cpu"] = time.monotonic() - wall, sum(os.times()[:4]) - cpu
    ended.set()
    watcher.join()


def timed(executor: type, beam: list[str], inputs: dict, outputs: dict, properties: dict) -> dict[str, float]:
    """Runs an executor whose artifacts are {name: (type, uri)}."""
    from tfx.dsl.components.base import base_beam_executor

    def artifacts(named: dict) -> dict:
        made = {name: [kind()] for name, (kind, _) in named.items()}
        for name, (_, uri) in named.items():
            made[name][0].uri = str(uri)
        return made

    with tempfile.TemporaryDirectory() as scratch:
        context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=beam, tmp_dir=scratch, unique_id="1")
        with measured() as found:
            executor(context).Do(artifacts(inputs), artifacts(outputs), properties)
    return found


def run_example_gen(target: str, beam: list[str], decoders: int, options: dict) -> dict[str, float]:
    """Ours; `decoders` at most for each of Beam's workers."""
    import tensorflow_datasets  # noqa: F401
    from tfx.types.standard_artifacts import Examples

    from components.example_gen import decoder, executor
    from components.example_gen.options import DataOptions

    decoder._MOST_CHILDREN = decoders
    properties = {"options": DataOptions(**options).model_dump_json()}
    return timed(executor.Executor, beam, {}, {"examples": (Examples, target)}, properties)


def run_import_example_gen(target: str, folder: str) -> dict[str, float]:
    """TFX's own, with its own way of splitting."""
    from google.protobuf import json_format
    from tfx.components.example_gen import utils
    from tfx.components.example_gen.import_example_gen.executor import Executor
    from tfx.proto import example_gen_pb2
    from tfx.types.standard_artifacts import Examples

    wanted = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*train.tfrecord*")])
    properties = {
        "input_base": folder,
        "input_config": json_format.MessageToJson(wanted),
        "output_config": json_format.MessageToJson(utils.make_default_output_config(wanted)),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": 5,  # gzipped TFRecords
    }
    return timed(Executor, ALONE, {}, {"examples": (Examples, target)}, properties)


def run_rebalancer(target: str, source: str, strategy: str) -> dict[str, float]:
    """Ours."""
    from tfx.types.standard_artifacts import Examples, HyperParameters

    from components.rebalancer import executor
    from components.rebalancer.options import RebalanceOptions

    outputs = {"examples": (Examples, f"{target}/examples"), "hyperparameters": (HyperParameters, f"{target}/weights")}
    properties = {"options": RebalanceOptions(strategy=strategy).model_dump_json()}
    return timed(executor.Executor, ALONE, {"source": (Examples, source)}, outputs, properties)


RUNS: dict[str, Callable] = {run.__name__: run for run in (run_example_gen, run_import_example_gen, run_rebalancer)}


def row(name: str, run: Callable, *args: object) -> dict[str, float]:
    """Measures in a fresh process and prints a line of the table."""
    found = once(run, *args)
    print(f"| {name} | {found['wall']:.1f} s | {found['cpu']:.1f} s | {found['peak']:.0f} MiB |", flush=True)
    return found


def once(run: Callable, *args: object) -> dict[str, float]:
    """Measures in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, run.__name__, json.dumps(args)],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(HOME), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def fashion(images: int, data_dir: Path) -> dict[str, object]:
    """Prepares the first training images for TFDS, without a test split, and returns ExampleGen's options for them."""
    import tensorflow as tf

    folder = data_dir / "fashion_mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for name in ("features.json", "label.labels.txt"):
        (folder / name).write_bytes((FASHION / name).read_bytes())
    info = json.loads((FASHION / "dataset_info.json").read_text())
    info["splits"] = [split for split in info["splits"] if split["name"] == "train"]
    info["splits"][0]["shardLengths"] = [str(images)]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with tf.io.TFRecordWriter(str(folder / TRAIN_FILE)) as out:
        for record in tf.data.TFRecordDataset(str(FASHION / TRAIN_FILE)).take(images).as_numpy_iterator():
            out.write(record)
    return {"source": "tfds", "dataset": "fashion_mnist", "data_dir": str(data_dir), "image_size": 28}


def table(root: Path) -> None:
    """All measurements, and what follows from them."""
    print("| run | wall | CPU | peak memory |\n|---|---|---|---|")
    few, all_ = fashion(6000, root / "few"), fashion(60_000, root / "all")
    theirs = row(
        "ImportExampleGen (TFX), 60,000 images", run_import_example_gen,
        f"{root}/theirs", f"{all_['data_dir']}/fashion_mnist/3.0.1",
    )  # fmt: skip
    ours = row("ExampleGen, the same images", run_example_gen, f"{root}/ours", ALONE, 8, all_)
    small = row("ExampleGen, 6,000 of them", run_example_gen, f"{root}/small", ALONE, 8, few)
    tail = {**all_, "long_tail": {"imbalance_ratio": 100}}
    thinned = row("ExampleGen, 60,000 thinned to a long tail", run_example_gen, f"{root}/tail", ALONE, 8, tail)
    none = row("Rebalancer, `none`, of the 60,000", run_rebalancer, f"{root}/none", f"{root}/ours", "none")
    over = row(
        "Rebalancer, `oversample`, of the long tail", run_rebalancer, f"{root}/over", f"{root}/tail", "oversample"
    )
    photos = {"source": "image_folder", "root": str(TILES), "image_size": 64, "channels": 3, "group_by": "(num_\\d+)"}
    one = row("Tiles, 1 worker, 1 decoder", run_example_gen, f"{root}/t1", ALONE, 1, photos)
    two = row("Tiles, 1 worker, 2 decoders", run_example_gen, f"{root}/t2", ALONE, 2, photos)
    both = row("Tiles, 2 worker processes, 1 decoder each", run_example_gen, f"{root}/t3", TWO_WORKERS, 1, photos)
    print(f"""
ExampleGen takes {ours["wall"] / theirs["wall"]:.2f} of ImportExampleGen's wall time and \
{ours["cpu"] / theirs["cpu"]:.2f} of its CPU time;
{ours["peak"] / small["peak"]:.2f} times the memory for ten times the images.
The Rebalancer takes {none["wall"] / ours["wall"]:.2f} (`none`) and {over["wall"] / thinned["wall"]:.2f} \
(`oversample`) of the wall time of the ExampleGen before it.
On the tiles, two decoders are {one["wall"] / two["wall"]:.2f} and two workers {one["wall"] / both["wall"]:.2f} times \
as fast as one of each.""")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(RUNS[sys.argv[1]](*json.loads(sys.argv[2]))))
    elif not (FASHION.is_dir() and TILES.is_dir()):
        print(f"no {FASHION} and {TILES}; TAILGAN_DATA names the folder of both", file=sys.stderr)
        sys.exit(2)
    else:
        with tempfile.TemporaryDirectory() as folder:
            table(Path(folder))
