"""What a task costs beside the work of its node: `python benchmarks/node.py`.

Compiles configs/digits.yaml with few steps and launches its nodes as tasks do, each in a new process, on a metadata
store in a file; then all of them again, as a second run does. Prints a table of seconds of CPU, which other work on the
machine changes little.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SETTINGS = ["gan.steps=20", "classifier.steps=20", "gate.rules=[]"]
# `tailgan node`, with a clock on the import of TFX and on the launch.
TASK = """
import json, sys, time
from pipeline import cli, task
begun = time.process_time()
node = task.load_launcher()
imported = time.process_time()
launch, took = node.launch, {}
def timed(*args):
    start = time.process_time()
    result = launch(*args)
    took["launch"], took["state"] = time.process_time() - start, result.state
    return result
node.launch = timed
code = cli.main(sys.argv[1:])
print("TOOK", json.dumps({"import": imported - begun, **took}))
sys.exit(code)
"""


def python(*args: str, **environment: str) -> str:
    """What a process in the project's folder prints."""
    env = {**os.environ, "PYTHONPATH": str(HOME), **environment}
    done = subprocess.run([sys.executable, *args], cwd=HOME, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def cpu() -> float:
    """Seconds of CPU of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [part for each in (*SETTINGS, f"kubeflow.mount={folder}/volume") for part in ("--set", each)]
        started = cpu()
        told = python("-m", "pipeline.cli", "compile", "configs/digits.yaml", "-o", f"{folder}/pipeline.yaml", *sets)
        print(f"compile: {cpu() - started:.1f} s\n")
        sha256 = re.search(r"sha256 (\w+)", told)[1]
        nodes = json.loads((Path(folder) / "digits.ir.json").read_text())["nodes"]
        print("| node | state | process | launch | import of TFX | all else |\n|---|---|---|---|---|---|")
        for run_id in ("first", "second"):
            for node_id in (each["pipeline_node"]["node_info"]["id"] for each in nodes):
                args = ["--ir", f"{folder}/digits.ir.json", "--ir-sha256", sha256, "--node-id", node_id]
                started = cpu()
                out = python(
                    "-c", TASK, "node", *args, "--run-id", run_id, TAILGAN_METADATA_URI=f"sqlite:///{folder}/store.db"
                )
                whole = cpu() - started
                took = json.loads(out.rpartition("TOOK ")[2])
                rest = whole - took["import"] - took["launch"]
                print(
                    f"| {node_id} | {took['state']} | {whole:.1f} | {took['launch']:.1f} | {took['import']:.1f} "
                    f"| {rest:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
