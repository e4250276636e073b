"""Where the time of a cached run goes: `python benchmarks/startup.py`.

Runs configs/digits.yaml with few steps, so that all is cached, then again in a new process, and prints a table of what
that one spends, and what share of the imports each package has.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
RUN = ["run", "configs/digits.yaml", "--set", "gan.steps=20", "--set", "classifier.steps=20", "--set", "gate.rules=[]"]
# The steps of `pipeline.local.run`, one by one; in the whole run at the end everything is loaded already.
STAGES = """
import json, sys, time
from pathlib import Path
begun = time.perf_counter()
took = {}
def stage(name):
    global begun
    took[name], begun = time.perf_counter() - begun, time.perf_counter()
root, args = Path(sys.argv[1]), sys.argv[2:]
from pipeline import cli, config, local, preflight
parsed = cli._parser().parse_args(args)
loaded = config.load(parsed.config, parsed.overrides)
stage("command line and configuration")
preflight.check(loaded, str)
stage("a look at the data")
from pipeline import build, node
stage("import of TFX, TensorFlow and Beam")
node.compile_pipeline(build.create_pipeline(loaded, str(root)))
stage("graph, and hashes of the code")
from pipeline import report
stage("import of what writes the report")
local.run(loaded, root, str, verbose=True)
stage("the run")
record = json.loads((root / "run.json").read_text())
took["the run: all nodes"] = sum(each["seconds"] for each in record["nodes"].values())
print("TOOK", json.dumps(took))
"""


def python(*args: str) -> subprocess.CompletedProcess:
    """A process in the project's folder, its output kept."""
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    return subprocess.run([sys.executable, *args], cwd=HOME, capture_output=True, text=True, env=environment)


def imports() -> list[tuple[str, float]]:
    """Packages by the seconds that their modules take by themselves."""
    seconds: Counter[str] = Counter()
    for line in python("-X", "importtime", "-c", "from pipeline import build, node").stderr.splitlines():
        if match := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", line):
            seconds[match[2]] += int(match[1]) / 1e6
    return seconds.most_common(8)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = str(Path(folder, "root"))
        python("-m", "pipeline.cli", *RUN, "--root", root)
        start = os.times().elapsed
        python("-m", "pipeline.cli", *RUN, "--root", root)
        wall = os.times().elapsed - start
        took = json.loads(python("-c", STAGES, root, *RUN).stdout.rpartition("TOOK")[2])
    print(f"A cached run takes {wall:.1f} s, from the prompt to the prompt.\n\n| what | seconds |\n|---|---|")
    for name, seconds in took.items():
        print(f"| {name} | {seconds:.2f} |")
    print("\n| package | seconds of import |\n|---|---|")
    for name, seconds in imports():
        print(f"| {name} | {seconds:.2f} |")
