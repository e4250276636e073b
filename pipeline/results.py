"""The figures of a root, as one object: what `tailgan report --json` prints and the page shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import fingerprint, what_serves
from models.alarms import alarms
from models.dataset import DatasetInfo
from models.options import MonitorOptions
from pipeline import scorecard, serving_validation
from pipeline.config import ConfigError
from pipeline.history import versions
from pipeline.record import RunRecord
from serving.human_evaluation import FILE_NAME as HUMAN_EVALUATION_FILE
from serving.human_evaluation import tally

DISAGREEMENTS_FILE = "disagreements.npz"

_COPIED = (
    "served_version",
    "best_version",
    "fid",
    "kid",
    "inception_score",
    "label_agreement",
    "precision",
    "recall",
    "density",
    "coverage",
    "c2st",
    "intervals",
    "balance",
    "memorization",
    "null",
    "features",
    "judge",
    "groups",
)
_WATCHED = (
    "d_train",
    "d_heldout",
    "d_generated",
    "overfitting",
    "diversity",
    "diversity_worst",
    "diversity_by_class",
)
_PER_CLASS = (
    "eval_real",
    "generated",
    "group",
    "kid",
    "null_kid",
    "null_kid_high",
    "kid_p",
    "kid_relative",
    "nearest_class",
    "coverage",
    "null_coverage",
    "diversity",
    "label_agreement",
    "judge_recall",
    "label_agreement_ratio",
    "closest_record_ratio",
    "copied",
    "memorization_p",
    "looks_like",
    "looks_like_part",
    "enough_data",
    "smallest_kid_relative",
    "intervals",
)
# What the rows of earlier versions have not.
_RULE = dict.fromkeys(("lo", "hi", "where", "why"))
_COMPARISON = {"against": "serving", **dict.fromkeys(("version", "where", "difference", "lo", "hi"))}
_OLDER = (
    "an earlier version of tailgan evaluated this run, which knew fewer figures; "
    "the same `tailgan run` evaluates it anew, from the cache up to there"
)


def finished_run(root: Path) -> RunRecord:
    """The record of the newest run of a root.

    Raises:
      ConfigError: if nothing was run there, or its Evaluator has not ended.
    """
    record = RunRecord.load(root)
    if record is None:
        raise ConfigError(f"{root}: no run here; `tailgan run CONFIG --root {root}` makes one")
    if record.output("Evaluator", "evaluation") is None:
        raise ConfigError(f"{root}: the last run has not been evaluated ({record.error or record.outcome})")
    return record


def collect(root: Path) -> dict[str, Any]:
    """Everything that is known of the newest run of a root.

    Returns:
      `name, verdict, blessed, reasons, undecided, warnings, rules, compared, serving_validation, scorecard,
      model_version, serving_version, versions, human_evaluation, training, data, seconds`, the figures of
      `evaluation.json`, and `per_class`, in label order. Figures that the evaluation of an earlier version of this
      project has not are None, and `warnings` says so. `verdict` is `rejected` also of what the gate blessed and a
      server did not serve.

    Raises:
      ConfigError: see `finished_run`; or the evaluation cannot be read.
    """
    record = finished_run(root)
    evaluation = _evaluation(_output(record, "Evaluator", "evaluation") / EVALUATION_FILE)
    before = DatasetInfo.load(str(_output(record, "ExampleGen", "examples")))
    after = DatasetInfo.load(str(_output(record, "Rebalancer", "examples")))
    classes = {
        name: {
            "train_real": before.counts["train"][label],
            "train_unique": before.train_unique[label],
            "train_rebalanced": after.counts["train"][label],
            "class_weight": after.class_weights[label],
            **{key: evaluation["per_class"].get(name, {}).get(key) for key in _PER_CLASS},
        }
        for label, name in enumerate(before.classes)
    }
    serving_dir = Path(record.serving_dir)
    served = what_serves(record.serving_dir)
    model_version = _version_of(evaluation["generator"], serving_dir)
    validation = serving_validation.read(record)
    return {
        "name": record.config["name"],
        "undecided": undecided(evaluation),
        **serving_validation.verdict(evaluation, validation),
        **{key: evaluation[key] for key in ("warnings", "rules", "compared")},
        "serving_validation": validation,
        "scorecard": scorecard.as_dicts(scorecard.scorecard(evaluation)),
        **{key: evaluation.get(key) for key in _COPIED},
        "model_version": model_version,
        "serving_version": served.version if served else None,
        "versions": versions(serving_dir),
        "human_evaluation": tally(root / HUMAN_EVALUATION_FILE, model_version),
        "per_class": classes,
        "training": training(record),
        "data": {
            "fingerprint": before.fingerprint,
            "image_shape": before.image_shape,
            "duplicates": before.duplicates,
            "quarantined": before.quarantined,
        },
        "seconds": {node_id: node.seconds for node_id, node in record.nodes.items()},
    }


def _evaluation(path: Path) -> dict[str, Any]:
    """An evaluation in which each row has the names of today and those of earlier versions, as `--json` promises."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        older = "groups" not in document
        rules = [
            {**_RULE, "figure": row["rule"].split()[0], **row, "outcome": _outcome(row)} for row in document["rules"]
        ]
        compared = [
            {**_COMPARISON, "other": row.get("served"), "served": row.get("other"), **row, "outcome": _outcome(row)}
            for row in document["compared"]
        ]
        if missing := {"verdict", "generator", "per_class", "judge"} - document.keys():
            raise KeyError(*missing)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error!r}); without its folder, `tailgan run` makes it again"
        ) from None
    warnings = [*document.get("warnings", []), *([_OLDER] if older else [])]
    return {**document, "warnings": warnings, "rules": rules, "compared": compared}


def _outcome(row: dict[str, Any]) -> str:
    return row.get("outcome") or ("pass" if row["passed"] else "fail")


def undecided(evaluation: dict[str, Any]) -> bool:
    """Whether a generator was not blessed because of what could not be told, and not because something is wrong."""
    results = [*evaluation["rules"], *evaluation["compared"]]
    if evaluation["verdict"] != "rejected" or not evaluation["rules"] or any(r["outcome"] == "fail" for r in results):
        return False
    return any(row["value"] is not None for row in results)  # of a broken generator nothing is known at all


def training(record: RunRecord) -> dict[str, Any]:
    """How the training of the GAN went.

    Returns:
      `steps`; of the last look at it `warnings`, texts, and `monitor`, figures, None where there was none;
      `disagreements`, the number of training images whose label the judge doubts, None where it was not asked.
    """
    rows = history(record)
    looks = [row for row in rows if "diversity_by_class" in row]
    options = MonitorOptions.model_validate(record.config.get("gan", {}).get("monitor", {}))
    doubted = disagreements(record)
    return {
        "steps": rows[-1]["step"] if rows else None,
        "warnings": [alarm.text for alarm in alarms(looks[-1], options)] if looks else [],
        "monitor": {name: looks[-1].get(name) for name in ("step", *_WATCHED)} if looks else None,
        "disagreements": int(doubted["counts"].sum()) if doubted else None,
    }


def history(record: RunRecord) -> list[dict[str, Any]]:
    """The GAN's training history, a row a call of the training graph; some have figures of `models.monitor` too."""
    run_dir = record.output("GAN", "model_run")
    path = run_dir / "history.jsonl" if run_dir else None
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def disagreements(record: RunRecord) -> dict[str, np.ndarray] | None:
    """Training images whose label the judge doubts, the most doubted first.

    Returns:
      `images` uint8 [n, H, W, C], `ids` bytes [n], `labels` and `predicted` int [n], `probability` float [n], what the
      judge gives to the class it predicts; and `counts` int [K, K], of all: how many of label i are taken for class j.
      None where there is no such file.
    """
    run_dir = record.output("Judge", "model_run")
    path = run_dir / DISAGREEMENTS_FILE if run_dir else None
    if path is None or not path.is_file():
        return None
    with np.load(path) as arrays:
        return dict(arrays)


def _output(record: RunRecord, node_id: str, key: str) -> Path:
    path = record.output(node_id, key)
    if path is None or not path.is_dir():
        raise ConfigError(f"{path or node_id}: an output of the last run is gone; `tailgan run` makes it again")
    return path


def _version_of(generator: str, serving_dir: Path) -> int | None:
    """The newest pushed version of a generator; None if it was not pushed, or its version was removed."""
    versions = [p for p in serving_dir.glob("*") if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
    return max((int(p.name) for p in versions if fingerprint(p) == generator), default=None)
