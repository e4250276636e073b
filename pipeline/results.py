"""The figures of a root, as one object: what `tailgan report --json` prints and the page shows."""

import json
from pathlib import Path
from typing import Any

from components.evaluator.constants import EVALUATION_FILE
from components.evaluator.served import fingerprint, what_serves
from models.dataset import DatasetInfo
from pipeline.config import ConfigError
from pipeline.record import RunRecord

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
      null, per_class, judge, data, seconds`; classes in label order.

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
    return {
        **{key: evaluation[key] for key in _COPIED},
        "model_version": _version_of(evaluation["generator"], Path(record.serving_dir)),
        "serving_version": served.version if served else None,
        "per_class": classes,
        "judge": evaluation["judge"],
        "data": {
            "fingerprint": before.fingerprint,
            "image_shape": before.image_shape,
            "duplicates": before.duplicates,
            "quarantined": before.quarantined,
        },
        "seconds": {node_id: node.seconds for node_id, node in record.nodes.items()},
    }


def _output(record: RunRecord, node_id: str, key: str) -> Path:
    path = record.output(node_id, key)
    if path is None or not path.is_dir():
        raise ConfigError(f"{path or node_id}: an output of the last run is gone; `tailgan run` makes it again")
    return path


def _version_of(generator: str, serving_dir: Path) -> int | None:
    """The newest pushed version of a generator; None if it was not pushed, or its version was removed."""
    versions = [p for p in serving_dir.glob("*") if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
    return max((int(p.name) for p in versions if fingerprint(p) == generator), default=None)
