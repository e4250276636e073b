"""What each node costs, and what it would: `python benchmarks/scaling.py [--images N ...] [--set KEY=VALUE ...]`.

Makes folders of so many images of 32x32x3 (scaling_images.py), compiles configs/image_folder.yaml, and launches its
nodes as tasks do (pipeline/task.py), each in a process of its own, forked from one that has imported TFX. Of each size
it prints a table: wall and CPU seconds, in which the import is not, but in a row of its own; peak memory of the process
and those below it; bytes that came from the disk and went to it; and what more lies on the volume when the node has
ended. From three sizes on, lines are laid through CPU seconds, memory and volume (scaling_fit.py), with their errors,
and told for a million and ten million.

Trainings have few steps, the same for all sizes: steps cost what they cost, however many images there are. The gate
has a rule that every generator passes, so that all nodes have work to do.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ingest import memory
from scaling_fit import fit, held_out_error, relative_errors
from scaling_images import make

HOME = Path(__file__).resolve().parent.parent
SETTINGS = (
    "data.channels=3", "classifier.steps=20", "gan.steps=20", "gan.helper_steps=20",
    "gate.rules=[label_agreement >= 0]", "gate.cannot_tell=warn",
)  # fmt: skip
TOLD = (10**6, 10**7)
MOST_MIB = 8 * 1024  # a node that takes more is ended, and all else with it
COLUMNS = {"wall": "wall s", "cpu": "CPU s", "peak": "peak MiB", "read": "read MB", "written": "written MB"}
COLUMNS["kept"] = "stays, MB"
IMPORT = "import of TFX"
LEAST = 0.05  # s or MB: no line is laid through less

Costs = dict[str, float]


def files(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder; none is kept in mind, for forks would inherit that."""
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(os.stat(path).st_size for path in files(folder))


def forget(folder: Path) -> None:
    """Has the kernel drop what it holds of the files of a folder, so that they are read from the disk."""
    for path in files(folder):
        with open(path, "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk() -> tuple[float, float]:
    """MB that this process, and those below it that have ended, had from the disk and gave to it; no pipes."""
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["read_bytes"]) / 1e6, int(told["write_bytes"]) / 1e6


def resident(pid: int) -> float:
    """MiB of a fork, with all that it shares with its parent, and of the processes below it."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        below = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:  # It has ended meanwhile.
        return 0
    return own / 2**20 + sum(memory(int(child)) for child in below) / 2**10


def in_a_fork(work: Callable[[], str], log: Path) -> tuple[Costs, str]:
    """Does some work in a process of its own; returns what it cost and what it returned. Exits if it fails."""
    answer, mine = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        _answer(work, mine, log)
    os.close(mine)
    peak = 0.0
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, resident(pid))
        if peak > MOST_MIB:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    wall = time.monotonic() - started
    if status:
        sys.exit(f"ended with {os.waitstatus_to_exitcode(status)}, peak {peak:.0f} MiB\n{log.read_text()[-4000:]}")
    with open(answer) as file:
        (read, written), state = json.load(file)
    cpu = used.ru_utime + used.ru_stime
    peak = max(peak, used.ru_maxrss / 2**10)
    return {"wall": wall, "cpu": cpu, "peak": peak, "read": read, "written": written}, state


def _answer(work: Callable[[], str], pipe: int, log: Path) -> None:
    """The fork's side; it does not return."""
    code = 1
    try:
        with log.open("w") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        state = work()
        os.write(pipe, json.dumps([disk(), state]).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def compiled(folder: Path, source: Path, volume: Path, settings: Sequence[str]) -> Path:
    """File of the graph of configs/image_folder.yaml with these images."""
    from pipeline import cli

    pairs = (*SETTINGS, f"data.root={source}", f"kubeflow.mount={volume}", *settings)
    sets = [part for pair in pairs for part in ("--set", pair)]
    with contextlib.redirect_stdout(sys.stderr):
        code = cli.main(["compile", "configs/image_folder.yaml", "-o", str(folder / "pipeline.yaml"), *sets])
    if code:
        sys.exit(code)
    return folder / "image_folder.ir.json"


def measure(images: int, folder: Path, imported: Costs, settings: Sequence[str]) -> None:
    """Launches all nodes on so many images, prints the table, and leaves its rows in the folder."""
    from pipeline import task

    source, volume = folder / f"images-{images}", folder / f"volume-{images}"
    volume.mkdir(exist_ok=True)
    forget(source)
    graph = compiled(folder, source, volume, settings)
    sha256 = hashlib.sha256(graph.read_bytes()).hexdigest()
    os.environ["TAILGAN_METADATA_URI"] = f"sqlite:///{folder}/store-{images}.db"
    run_id = str(time.time_ns())
    print(f"\n{images:,} images, {size(source) / 1e6:.0f} MB\n\n| node | {' | '.join(COLUMNS.values())} |")
    print(f"|---|{'---|' * len(COLUMNS)}")
    print_row(IMPORT, imported)
    rows = {}
    for node in json.loads(graph.read_text())["nodes"]:
        name = node["pipeline_node"]["node_info"]["id"]
        before = size(volume)
        forget(volume)
        costs, state = in_a_fork(lambda name=name: task.run(graph, sha256, name, run_id).state, folder / "node.log")
        rows[name] = {**costs, "kept": (size(volume) - before) / 1e6}
        print_row(name if state == "complete" else f"{name} ({state})", rows[name])
    (folder / f"costs-{images}.json").write_text(json.dumps(rows))


def print_row(name: str, costs: Costs) -> None:
    """A line of the table of a size."""
    print(f"| {name} | {' | '.join(f'{costs[column]:.1f}' for column in COLUMNS)} |", flush=True)


def import_tfx() -> Costs:
    """Imports what each task imports first, and tells what it cost."""
    started = time.monotonic(), time.process_time()
    read, written = disk()
    from pipeline import task

    task.load_launcher()
    from_disk, to_disk = disk()
    return {
        "wall": time.monotonic() - started[0],
        "cpu": time.process_time() - started[1],
        "peak": resident(os.getpid()),
        "read": from_disk - read,
        "written": to_disk - written,
        "kept": 0.0,
    }


def short(value: float) -> str:
    """Two or three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def print_model(measured: dict[int, dict[str, Costs]], column: str, head: str, each: float, told: float) -> None:
    """The line of each node through a column, how far it is off, and what it says of sizes that were not measured.

    Args:
      measured: costs by size and node.
      column: which cost.
      head: of the table: what it is, units of the fixed part, of an image, of what is told.
      each, told: these units, in those of the column.
    """
    sizes = sorted(measured)
    what, *units = head.split("; ")
    heads = [what, f"fixed, {units[0]}", f"an image, {units[1]}", *(f"off at {n:,}" for n in sizes)]
    heads += [f"{sizes[-1]:,} held out", *(f"{n:,}, {units[2]}" for n in TOLD)]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in measured[sizes[0]]:
        costs = [measured[n][name][column] for n in sizes if name in measured[n]]
        if len(costs) < len(sizes) or min(costs) < LEAST:
            continue
        line = fit(sizes, costs)
        errors = [*relative_errors(line, sizes, costs), held_out_error(sizes, costs)]
        cells = [f"{line.fixed:.1f}", short(line.each / each), *(f"{100 * error:+.0f} %" for error in errors)]
        print(f"| {' | '.join([name, *cells, *(short(line.at(n) / told) for n in TOLD)])} |", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[1000, 10_000, 30_000, 100_000], metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the configuration")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there and leave all; lines go through all sizes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for images in options.images:
            if not (folder / f"images-{images}").exists():
                make(folder / f"images-{images}", images)
        if options.images:
            os.sync()
            imported = import_tfx()
            for images in options.images:
                measure(images, folder, imported, options.set)
        measured = {
            int(path.stem.partition("-")[2]): json.loads(path.read_text()) for path in folder.glob("costs-*.json")
        }
    if len(measured) >= 3:
        print_model(measured, "cpu", "CPU; s; ms; h", 1e-3, 3600)
        print_model(measured, "peak", "peak memory; MiB; bytes; GiB", 2**-20, 2**10)
        print_model(measured, "kept", "stays on the volume; MB; bytes; GB", 1e-6, 1e3)


if __name__ == "__main__":
    os.chdir(HOME)
    sys.path.insert(0, str(HOME))
    main()
