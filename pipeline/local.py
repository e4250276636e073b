"""Runs a whole pipeline on this machine, node by node, and leaves a record and a report."""

import contextlib
import datetime
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import what_serves
from models.files import write_whole
from pipeline import faults, lock, preflight, record, results, serving_validation
from pipeline import root as root_directory
from pipeline.config import Config, ConfigError
from pipeline.display import Display, log_everything, logs_to
from pipeline.scratch import temporary_files
from pipeline.screen import lasting

EXIT_CODES = {"pushed": 0, "already_serving": 0, "not_blessed": 3, "failed": 1, "interrupted": 130}

log = logging.getLogger("tailgan")


def run(
    config: Config, root: Path, where: Callable[[str], str], verbose: bool = False, debug: bool = False
) -> record.RunRecord:
    """Runs one experiment below `root`, re-using what is cached there.

    Args:
      config: the experiment.
      root: directory of everything that is written; made if absent.
      where: from a key such as `data.root` to where it was read, for messages (see `pipeline.config.locate`).
      verbose: show the logs of TFX, TensorFlow and Beam instead of writing them to `<root>/logs`.
      debug: let the exception of a failed node through.

    Raises:
      ConfigError: if nothing was run: `root` cannot be used, another run is at work there, or the data are not there.
    """
    root = root.resolve()
    root_directory.make(root)
    started = datetime.datetime.now(datetime.UTC)
    run_id = started.strftime("%Y%m%dT%H%M%S.%fZ")
    log_path = None if verbose else root / "logs" / f"{run_id}.log"
    with (
        lock.locked(root),
        logs_to(log_path) as screen,
        Display(lasting(screen), logged=log_path is not None) as display,
    ):
        root_directory.check(root)
        display.console.print(f"{config.name} in {_short(root)}", style="bold", markup=False)
        display.busy("looking at the data")
        preflight.check(config, where)
        display.busy("loading TFX and TensorFlow")
        from pipeline import build, node

        log_everything()
        ir = node.with_run_id(node.compile_pipeline(build.create_pipeline(config, str(root))), run_id)
        state = record.RunRecord(
            run_id=run_id,
            pid=os.getpid(),
            started=started.isoformat(timespec="seconds"),
            log=str(log_path) if log_path else None,
            serving_dir=build.serving_dir(str(root), config),
            config=config.model_dump(mode="json"),
            nodes={node_id: record.NodeRecord() for node_id in node.node_ids(ir)},
        )
        try:
            write_whole(root / "config.yaml", config.as_yaml())
            with temporary_files(root):
                _run_nodes(ir, root, state, display)
            state.outcome = _outcome(state)
        except (node.NodeFailed, OSError) as failure:
            state.outcome, state.error = "failed", faults.explain(failure, root)
            logging.getLogger().exception("the run failed")
            if debug:
                raise
        except KeyboardInterrupt:
            state.outcome = "interrupted"
            raise
        except BaseException as failure:
            state.outcome, state.error = "failed", faults.explain(failure, root)
            raise
        finally:
            state.finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            with contextlib.suppress(OSError):  # a full disk; the run's own error is told
                state.save(root)
            display.idle()
        if state.outcome not in ("failed", "interrupted"):
            from pipeline import report

            report.write(root)
            _tell(root, state, display)
            if config.retention.runs:
                _remove_older(root, config.retention.runs)
    return state


def _remove_older(root: Path, keep: int) -> None:
    """Cleans as `retention` says; what was pushed is pushed, whatever comes of it."""
    from pipeline import clean, clean_summary

    try:
        plan = clean.plan(clean.own(root), keep)
        clean.remove(plan)
    except (ConfigError, OSError) as fault:
        log.warning("older runs were not removed: %s", fault)
    else:
        if plan.goes:
            log.info("removed %s of older runs (`retention.runs: %d`)", clean_summary.size(plan.bytes), keep)


def _run_nodes(ir, root: Path, state: record.RunRecord, display: Display) -> None:
    from pipeline import node

    connection = node.sqlite(str(root / root_directory.METADATA_STORE))
    width = max(map(len, state.nodes))
    for node_id, mine in state.nodes.items():
        mine.state = "running"
        state.save(root)
        display.node_started(node_id, width)
        start = time.monotonic()
        try:
            result = node.launch(ir, node_id, connection)
            mine.state, mine.outputs = result.state, result.outputs
        except BaseException as error:
            mine.state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            raise
        finally:
            mine.seconds = round(time.monotonic() - start, 2)
            display.node_ended(node_id, mine.state, mine.seconds)
    state.save(root)


def _outcome(state: record.RunRecord) -> record.Outcome:
    evaluation = state.output("Evaluator", "evaluation")
    assert evaluation is not None
    verdict = json.loads((evaluation / EVALUATION_FILE).read_text(encoding="utf-8"))["verdict"]
    if verdict == "blessed" and not serving_validation.is_refused(serving_validation.read(state)):
        return "pushed"
    return "already_serving" if verdict == "already_serving" else "not_blessed"


def _short(path: Path) -> str:
    """A path as a person writes it: relative where it lies below the working directory."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _tell(root: Path, state: record.RunRecord, display: Display) -> None:
    """The last lines of a run."""
    served = what_serves(state.serving_dir)
    told = results.collect(root)
    words = {
        "pushed": f"[green]Blessed and pushed[/] as version {served.version if served else '?'}",
        "already_serving": "[green]Already serving[/]: nothing to push",
        "not_blessed": "[yellow]Not blessed[/]: nothing was pushed",
    }
    out = display.console
    out.print(f"\n{words[state.outcome]}")
    for reason in told["reasons"]:
        out.print(f"  - {reason}", markup=False)
    out.print(f"Report: {_short(root / 'report.html')}", markup=False)
    if served:
        name = min(told["per_class"], key=lambda name: told["per_class"][name]["train_real"])
        command = [
            sys.argv[0],
            "sample",
            "--root",
            _short(root),
            "--label",
            name,
            "--count",
            "8",
            "--out",
            "samples.png",
        ]
        out.print(f"Try:    {shlex.join(command)}", markup=False)
