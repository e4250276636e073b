"""The figures of a root, as one object: what `tailgan report --json` prints and the page shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import fingerprint, what_serves
from components.serving_validator.constants import VALIDATION_FILE
from models.alarms import alarms
from models.dataset import DatasetInfo
from models.options import MonitorOptions
from pipeline.config import ConfigError
from pipeline.record import RunRecord

DISAGREEMENTS_FILE = "disagreements.npz"

_COPIED = (
    "verdict",
    "blessed",
    "reasons",
    "rules",
    "compared",
    "fid",
    "kid",
    "inception_score",
    "label_agreement",
    "null",
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
_PER_CLASS = ("eval_real", "kid", "null_kid", "label_agreement", "label_agreement_ratio", "judge_recall")


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
      `blessed, verdict, reasons, rules, model_version, serving_version, fid, kid, inception_score, label_agreement,
      null, serving_validation, per_class, judge, training, data, seconds`; classes in label order.

      `verdict` is `rejected` also of what the gate blessed and a server does not serve.

    Raises:
      ConfigError: see `finished_run`.
    """
    record = finished_run(root)
    evaluation = json.loads((_output(record, "Evaluator", "evaluation") / EVALUATION_FILE).read_text(encoding="utf-8"))
    before = DatasetInfo.load(str(_output(record, "ExampleGen", "examples")))
    after = DatasetInfo.load(str(_output(record, "Rebalancer", "examples")))
    classes = {
        name: {
            "train_real": before.counts["train"][label],
            "train_rebalanced": after.counts["train"][label],
            "class_weight": after.class_weights[label],
            **{key: evaluation["per_class"][name][key] for key in _PER_CLASS},
        }
        for label, name in enumerate(before.classes)
    }
    served = what_serves(record.serving_dir)
    validation = serving_validation(record)
    if not serves(validation):
        assert validation is not None
        evaluation |= {
            "verdict": "rejected",
            "blessed": False,
            "reasons": [*(f"in a server: {reason}" for reason in validation["reasons"]), *evaluation["reasons"]],
        }
    return {
        **{key: evaluation[key] for key in _COPIED},
        "serving_validation": validation,
        "model_version": _version_of(evaluation["generator"], Path(record.serving_dir)),
        "serving_version": served.version if served else None,
        "per_class": classes,
        "judge": evaluation["judge"],
        "training": training(record),
        "data": {
            "fingerprint": before.fingerprint,
            "image_shape": before.image_shape,
            "duplicates": before.duplicates,
            "quarantined": before.quarantined,
        },
        "seconds": {node_id: node.seconds for node_id, node in record.nodes.items()},
    }


def serving_validation(record: RunRecord) -> dict[str, Any] | None:
    """What a server made of the generator, see `components.serving_validator.validation.validate`; None if none did."""
    blessing = record.output("ServingValidator", "blessing")
    if blessing is None:
        return None
    return json.loads((_output(record, "ServingValidator", "blessing") / VALIDATION_FILE).read_text(encoding="utf-8"))


def serves(validation: dict[str, Any] | None) -> bool:
    """Whether nothing speaks against a push there."""
    return validation is None or validation["skipped"] is not None or validation["blessed"]


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
