"""Runs a whole pipeline on this machine, node by node, and leaves a record and a report."""

import datetime
import json
import logging
import os
import shlex
import sys
import time
from pathlib import Path

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import what_serves
from pipeline import lock, record, results
from pipeline.config import Config, ConfigError
from pipeline.display import Display, logs_to

EXIT_CODES = {"pushed": 0, "already_serving": 0, "not_blessed": 3, "failed": 1, "interrupted": 130}

log = logging.getLogger("tailgan")


def run(config: Config, root: Path, verbose: bool = False, debug: bool = False) -> record.RunRecord:
    """Runs one experiment below `root`, re-using what is cached there.

    Args:
      config: the experiment.
      root: directory of everything that is written; made if absent.
      verbose: show the logs of TFX, TensorFlow and Beam instead of writing them to `<root>/logs`.
      debug: let the exception of a failed node through.

    Raises:
      ConfigError: if `root` cannot be written, or another run is at work there.
    """
    root = root.resolve()
    try:
        (root / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{root}: cannot be written: {error.strerror}") from None
    started = datetime.datetime.now(datetime.UTC)
    run_id = started.strftime("%Y%m%dT%H%M%S.%fZ")
    log_path = None if verbose else root / "logs" / f"{run_id}.log"
    with lock.locked(root), logs_to(log_path) as screen, Display(screen) as display:
        (root / "config.yaml").write_text(config.as_yaml())
        display.console.print(f"[bold]{config.name}[/] in {_short(root)}", highlight=False)
        display.busy("loading TFX and TensorFlow")
        from pipeline import build, node

        _log_everything()
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
            _run_nodes(ir, root, state, display)
            state.outcome = _outcome(state)
        except node.NodeFailed as failure:
            state.outcome, state.error = "failed", explain(failure)
            logging.getLogger().exception("node %s failed", failure.node_id)
            if debug:
                raise
        except KeyboardInterrupt:
            state.outcome = "interrupted"
            raise
        finally:
            state.finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            state.save(root)
            display.idle()
        if state.outcome not in ("failed", "interrupted"):
            from pipeline import report

            report.write(root)
            _tell(root, state, display)
    return state


def _log_everything() -> None:
    """Lets TFX and Beam log what they do, which Python's logging would hide below warnings."""
    from absl import logging as absl_logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    absl_logging.set_verbosity(absl_logging.INFO)


def _run_nodes(ir, root: Path, state: record.RunRecord, display: Display) -> None:
    from pipeline import node

    connection = node.sqlite(str(root / "metadata.db"))
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
    verdict = json.loads((evaluation / EVALUATION_FILE).read_text())["verdict"]
    if verdict == "blessed":
        return "pushed"
    return "already_serving" if verdict == "already_serving" else "not_blessed"


def explain(failure: BaseException) -> str:
    """One line for a failed node: the message of the fault in the input where there is one, else what was raised."""
    from components.errors import UserError

    node_id = getattr(failure, "node_id", "")
    cause: BaseException | None = failure
    last = failure
    while cause is not None:
        last = cause
        if isinstance(cause, UserError):
            return f"{node_id}: {cause}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    first_line = str(failure.__cause__ or last).strip().splitlines()[:1]
    return f"{node_id}: {type(failure.__cause__ or last).__name__}: {first_line[0] if first_line else ''}"


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
    out.print(f"Report: {_short(root / 'report.html')}")
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
