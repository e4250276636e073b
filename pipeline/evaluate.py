"""`tailgan evaluate`: judges what another program has made as a run judges its own generator, and pushes nothing."""

import datetime
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError
from pipeline import faults, lock, preflight, results, scorecard
from pipeline import root as root_directory
from pipeline.config import Config, ConfigError
from pipeline.display import Display, log_everything, logs_to
from pipeline.scratch import temporary_files
from pipeline.screen import lasting


class Failed(Exception):
    """A node, or the judging itself, went wrong; the message is one line."""


@dataclass(frozen=True)
class Judged:
    """What is judged: a SavedModel, or a folder of class folders."""

    path: Path
    is_folder: bool


def evaluate(
    what: Judged,
    config: Config,
    root: Path,
    where: Callable[[str], str],
    verbose: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Judges generated images; what it takes of real images and of a judge is made below `root`, or re-used from there.

    Args:
      what: is judged.
      config: the experiment whose data, classifier and gate they are.
      root: directory of its runs; made if absent. The record of its newest run stays as it is.
      where: see `pipeline.local.run`.
      verbose: as there.
      quiet: show no progress.

    Returns:
      The document of an evaluation (docs/evaluation.md).

    Raises:
      ConfigError: if `root`, the data, or what is judged are not as they should be.
      Failed: if anything else goes wrong.
    """
    _check(what)
    root = root.resolve()
    root_directory.make(root)
    run_id = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    log_path = None if verbose else root / "logs" / f"{run_id}.log"
    with ExitStack() as stack:
        stack.enter_context(lock.locked(root))
        screen = stack.enter_context(logs_to(log_path))
        if quiet:
            screen = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        display = stack.enter_context(Display(lasting(screen), logged=log_path is not None))
        root_directory.check(root)
        preflight.check(config, where)
        display.busy("loading TFX and TensorFlow")
        stack.enter_context(temporary_files(root))
        try:
            return _judge(what, config, root, run_id, display)
        except UserError as fault:
            raise ConfigError(str(fault)) from fault
        except Exception as failure:
            logging.getLogger().exception("the evaluation failed")
            told = f"; all of it in {log_path}" if log_path else ""
            raise Failed(f"{faults.explain(failure, root)}{told}") from failure


def _check(what: Judged) -> None:
    if not what.path.is_dir():
        raise ConfigError(f"{what.path}: no such folder")
    if not what.is_folder and not (what.path / "saved_model.pb").is_file():
        raise ConfigError(f"{what.path}: no SavedModel, because there is no saved_model.pb; --images takes a folder")


def _judge(what: Judged, config: Config, root: Path, run_id: str, display: Display) -> dict[str, Any]:
    import apache_beam as beam

    from components.evaluator import judging
    from components.evaluator.cache import Cache
    from components.evaluator.served import best_served, what_serves
    from components.evaluator.sources import SourceAt
    from models.dataset import DatasetInfo
    from pipeline import build

    log_everything()
    outputs = _real_images_and_judge(config, root, run_id, display)
    examples = outputs["ExampleGen"]["examples"][0]
    info = DatasetInfo.load(examples)
    serving_dir = build.serving_dir(str(root), config)
    served, best = what_serves(serving_dir), best_served(serving_dir)
    scratch = root / "tmp" / "looking"
    scratch.mkdir()
    display.busy("judging")
    judgement = judging.judge(
        SourceAt(str(what.path), info.classes, info.image_shape, config.data if what.is_folder else None),
        judging.Given(
            examples=examples,
            judge=build.exported(outputs["Judge"]["model"][0]),
            options=config.gate,
            cache=Cache(build.cache_dir(str(root))),
            version=build.looking_version(),
            make_pipeline=lambda: beam.Pipeline(argv=config.beam.pipeline_args()),
            scratch=scratch,
        ),
        served,
        best if best != served else None,
    )
    if judgement.serves:  # the gate judges it like any other: a run would have nothing to push, whatever it says
        version = judgement.document["served_version"]
        judgement.document["warnings"].insert(0, f"this generator is what serves, as version {version}")
    return judgement.document


def _real_images_and_judge(config: Config, root: Path, run_id: str, display: Display) -> dict[str, dict]:
    """{node: {output: uris}} of the nodes up to the judge, each cached or made now."""
    from pipeline import build, node

    ir = node.with_run_id(node.compile_pipeline(build.create_judge_pipeline(config, str(root))), run_id)
    connection = node.sqlite(str(root / root_directory.METADATA_STORE))
    names = node.node_ids(ir)
    outputs = {}
    for node_id in names:
        display.node_started(node_id, max(map(len, names)))
        start = time.monotonic()
        state = "failed"
        try:
            result = node.launch(ir, node_id, connection)
            state, outputs[node_id] = result.state, result.outputs
        finally:
            display.node_ended(node_id, state, time.monotonic() - start)
    return outputs


def summary(document: dict[str, Any]) -> str:
    """An evaluation in plain text, for a terminal."""
    from pipeline import report

    classes = {name: {**row, "train_real": row["train_unique"]} for name, row in document["per_class"].items()}
    return report.summary(
        {
            **document,
            "undecided": results.undecided(document),
            "scorecard": scorecard.as_dicts(scorecard.scorecard(document)),
            "training": {"warnings": []},
            "serving_validation": None,
            "per_class": classes,
        }
    )
