"""The commands of the command line that are about a cluster: node, compile, schedule, runs."""

import argparse
import datetime
import functools
import json
import os
import sys
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import screen

HOST = "KF_PIPELINES_ENDPOINT"  # as KFP's own client calls it
FIGURES = ("label_agreement", "worst.label_agreement", "fid", "kid")


def add_commands(
    command: Callable[[str, str], argparse.ArgumentParser],
    config_arguments: Callable[[argparse.ArgumentParser], None],
    positive: Callable[[str], int],
) -> None:
    """Adds their parsers, with the means of the command line's own."""

    def host_arguments(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--host", default=os.environ.get(HOST), help=f"address of Kubeflow Pipelines; {HOST} if not given"
        )
        sub.add_argument("--namespace", help="of a deployment with several users")

    node = command("node", "Launch one node of a compiled graph; what a task on Kubeflow does.")
    node.add_argument("--ir", type=Path, required=True, metavar="FILE", help="the graph that `tailgan compile` wrote")
    node.add_argument("--ir-sha256", required=True, metavar="HEX", help="hash that the file must have")
    node.add_argument("--node-id", required=True, metavar="ID", help="node to launch, such as GAN")
    node.add_argument("--run-id", required=True, metavar="ID", help="of the run, the same for all its nodes")

    compile = command("compile", "Compile a pipeline for Kubeflow: pipeline.yaml, and the graph that the image holds.")
    config_arguments(compile)
    compile.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.yaml", help="file to write")

    schedule = command("schedule", "Run a pipeline on Kubeflow at given times; twice is as good as once.")
    config_arguments(schedule)
    host_arguments(schedule)
    what = schedule.add_mutually_exclusive_group(required=True)
    what.add_argument("--cron", metavar="'M H D M W'", help="times in five fields, such as '0 3 * * 1'")
    what.add_argument("--run-now", action="store_true", help="start one run")
    what.add_argument("--pause", action="store_true", help="start no more runs, until --cron is given again")
    what.add_argument("--delete", action="store_true", help="remove the schedule; what ran stays")
    what.add_argument("--list", action="store_true", help="show what is scheduled under this name")

    runs = command("runs", "Show the last runs of a cluster, a metadata store or a root, with verdict and figures.")
    host_arguments(runs)
    runs.add_argument("--root", type=Path, help="directory of runs on this machine")
    runs.add_argument("--name", help="only of this configuration")
    runs.add_argument("--last", type=positive, default=10, metavar="N", help="how many (default: 10)")
    runs.add_argument("--json", action="store_true", help="print a list")


def _node(args: argparse.Namespace) -> int:
    from pipeline import task

    try:
        result = task.run(args.ir, args.ir_sha256, args.node_id, args.run_id)
    except task.TaskFailed as failure:
        if args.debug:
            raise
        _say(str(failure))
        return 1
    print(f"{args.node_id}: {result.state}")
    return 0


def _package(args: argparse.Namespace) -> Any:
    """The configuration, compiled; what should be otherwise is said."""
    from pipeline.config import load, locate

    config = load(args.config, args.overrides)
    from pipeline.display import logs_to

    with logs_to(Path(os.devnull)):  # TFX has much to say
        from pipeline import kubeflow

        package = kubeflow.compile(config, functools.partial(locate, args.config, args.overrides))
    for warning in package.warnings:
        _say(f"warning: {warning}")
    return package


def _compile(args: argparse.Namespace) -> int:
    package = _package(args)
    beside = package.write(args.output)
    print(f"{args.output}\n{beside}  (sha256 {package.sha256}; the image must hold it)")
    return 0


def _schedule(args: argparse.Namespace) -> int:
    from pipeline.config import load

    name = load(args.config, args.overrides).name
    cron = None if args.cron is None else _six_fields(args.cron)
    service = _service(args)
    if args.list:
        found = service.schedules(name)
        for each in found:
            state = "enabled" if each.enabled else "paused"
            print(f"{each.id}  {each.name}  {state}  cron {each.cron}  version {each.version}")
        if not found:
            print(f"{name}: not scheduled")
    elif args.pause or args.delete:
        count = service.pause(name) if args.pause else service.delete(name)
        done = "paused" if args.pause else "deleted"
        print(f"{name}: {done if count else 'not scheduled'}")
    elif args.run_now:
        print(f"{name}: run {service.run_now(name, _package(args).pipeline)}")
    else:
        print(f"{name}: {service.set(name, cron, _package(args).pipeline)}")
    return 0


def _six_fields(expression: str) -> str:
    from pipeline import cron
    from pipeline.config import ConfigError

    try:
        return cron.six_fields(expression)
    except ValueError as error:
        raise ConfigError(f"--cron {error}") from None


def _runs(args: argparse.Namespace) -> int:
    from pipeline import metadata

    has_store = args.root is not None or bool(os.environ.get(metadata.URI))
    connection = _connection(args.root) if has_store else None
    if args.root is None and args.host:
        runs = _of_kubeflow(args)
    elif connection is not None:
        from pipeline import stored_runs

        runs = [_row(**asdict(run), error=None) for run in stored_runs.newest(connection, args.last, args.name)]
    else:
        raise _no_host(f", --root, or a metadata store in {metadata.URI}")
    found = metadata.evaluations(connection, [run["run_id"] for run in runs]) if connection is not None else {}
    rows = [
        {
            **run,
            "verdict": found.get(run["run_id"], {}).get("verdict"),
            **{figure: found.get(run["run_id"], {}).get(figure) for figure in FIGURES},
            "version": found.get(run["run_id"], {}).get("version"),
        }
        for run in runs
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    _print_table(rows)
    if not has_store:
        _say(f"verdicts and figures are in the metadata store; {metadata.URI} names it")
    return 0


def _connection(root: Path | None) -> Any:
    """To the metadata store of a root, or the one that the environment names."""
    from pipeline import metadata
    from pipeline import root as root_directory
    from pipeline.config import ConfigError

    if root is None:
        return metadata.connect()
    path = (root / root_directory.METADATA_STORE).absolute()
    if not path.is_file():
        raise ConfigError(f"{root}: no root of tailgan, because there is no {path.name}")
    root_directory.check_readable(root)
    return metadata.connect({metadata.URI: f"sqlite://{urllib.parse.quote(str(path))}"})


def _of_kubeflow(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [
        _row(run.run_id, run.display_name, run.created_at, run.state, run.error.message if run.error else None)
        for run in _service(args).runs(args.last, args.name)
    ]


def _row(
    run_id: str, name: str, created: datetime.datetime | None, state: str | None, error: str | None
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "name": name,
        "created": created.isoformat(timespec="seconds") if created else None,
        "state": state,
        "error": error,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    """A line a run; what is not known is `-`."""

    def cell(value: Any) -> str:
        return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    if not rows:
        print("no runs")
        return
    keys = [key for key in rows[0] if key != "error"]
    lines = [keys, *([cell(row[key]) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line, row in zip(lines, [None, *rows], strict=True):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
        if row and row["error"]:
            print(f"  {row['error']}")


def _service(args: argparse.Namespace) -> Any:
    if not args.host:
        raise _no_host("")
    from pipeline import schedule

    return schedule.Service(args.host, args.namespace)


def _no_host(otherwise: str) -> Exception:
    from pipeline.config import ConfigError

    return ConfigError(f"--host: the address of Kubeflow Pipelines is needed, here or in {HOST}{otherwise}")


def _say(line: str) -> None:
    print(f"tailgan: {line}", file=screen.lasting(sys.stderr), flush=True)


COMMANDS = {"node": _node, "compile": _compile, "schedule": _schedule, "runs": _runs}
