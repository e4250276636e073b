"""The demo over seeds: `python benchmarks/demo.py [SEED ...]` (default 0 1 2).

Runs `tailgan run configs/digits.yaml` twice a seed, each in a process and a root of its own, and prints a table: wall
time of both runs, peak memory of the larger process, and what the report says of the generator.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
TAILGAN = [sys.executable, "-m", "pipeline.cli"]


def measured(args: list[str]) -> tuple[int, float, float]:
    """Exit code, wall seconds and peak resident MiB of one process."""
    start = os.times().elapsed
    process = subprocess.Popen(args, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), os.times().elapsed - start, usage.ru_maxrss / 1024


def row(seed: int, root: Path) -> str:
    """One line of the table."""
    run = [*TAILGAN, "run", "configs/digits.yaml", "--root", str(root), "--set", f"seed={seed}"]
    code, first, peak = measured(run)
    again_code, again, again_peak = measured(run)
    shown = subprocess.run(
        [*TAILGAN, "report", "--json", "--root", str(root)], cwd=HOME, capture_output=True, text=True, check=True
    )
    report = json.loads(shown.stdout)
    worst, figures = min(report["per_class"].items(), key=lambda item: item[1]["label_agreement"])
    return (
        f"| {seed} | {code}, {again_code} | {first:.0f} s | {again:.0f} s | {max(peak, again_peak):.0f} MiB "
        f"| {report['judge']['accuracy']:.3f} | {report['label_agreement']:.3f} "
        f"| {figures['label_agreement']:.3f} (class {worst}) | {report['fid']:.2f} | {report['kid']:.3f} |"
    )


if __name__ == "__main__":
    print("| seed | exit codes | first run | second run | peak memory | judge | agreement | worst class | FID | KID |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for number in map(int, sys.argv[1:] or ("0", "1", "2")):
        with tempfile.TemporaryDirectory() as folder:
            print(row(number, Path(folder) / "root"), flush=True)
