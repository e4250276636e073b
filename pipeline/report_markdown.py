"""The result of a run as Markdown, for a pull request, a wiki or a mail."""

from collections.abc import Mapping
from typing import Any

from components.evaluator.markdown import code, escape, estimate, number, sentence, table
from pipeline import findings, history, serving_validation

_TITLES = [title for title, _ in findings.FIGURES.values()]


def render(result: Mapping[str, Any]) -> str:
    """The result, as `pipeline.results.collect` gives it, under a heading of its own."""
    sections = {
        "In four words": _scorecard(result),
        "Class by class, rarest first": _classes(result),
        "The gate": _rules(result),
        "Beside other versions": _compared(result),
        "In a server": _served(result),
        "Versions": _versions(result),
    }
    parts = [f"# {escape(result['name'])}: {escape(findings.headline(result))}", _reasons(result)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _reasons(result: Mapping[str, Any]) -> str:
    lines = [sentence(reason) for reason in result["reasons"]]
    lines += [f"Warning: {sentence(warning)}" for warning in (*result["warnings"], *result["training"]["warnings"])]
    return "\n".join(f"- {line}" for line in lines)


def _scorecard(result: Mapping[str, Any]) -> str:
    rows = []
    for score in result["scorecard"]:
        means = " ".join((score["meaning"], *score["remarks"]))
        figures = [
            f"{code(figure['figure'])} {estimate(figure['value'], (figure['lo'], figure['hi']))}"
            + (f" (class {escape(figure['where'])})" if figure["where"] else "")
            for figure in score["figures"]
        ]
        word = f"{score['symbol']} **{score['word']}**"
        rows.append([score["name"], word, sentence(means), "<br>".join(figures)])
    return table(("", "word", "what it means", "figures, with 95 % intervals"), rows)


def _classes(result: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(name),
            number(row["train_real"]),
            number(row["eval_real"]),
            *(findings.figure(row, figure) for figure in findings.FIGURES),
            "<br>".join(escape(remark) for remark in findings.remarks(name, row)),
        ]
        for name, row in findings.rarest_first(result["per_class"])
    ]
    groups = result["groups"] or {}
    rows += [
        [f"*{name}*", "", "", *(findings.figure(groups[name], figure) for figure in findings.FIGURES), ""]
        for name in ("tail", "middle", "head", "mean", "worst")
        if name in groups
    ]
    return table(("class", "train images", "eval images", *_TITLES, "remarks"), rows)


def _rules(result: Mapping[str, Any]) -> str:
    rows = [
        [
            code(rule["rule"]),
            findings.OUTCOMES[rule["outcome"]],
            estimate(rule["value"], (rule.get("lo"), rule.get("hi"))),
            escape(rule.get("where") or ""),
            sentence(rule.get("why") or ""),
        ]
        for rule in result["rules"]
    ]
    return table(("rule", "outcome", "value", "class", "why"), rows) if rows else ""


def _compared(result: Mapping[str, Any]) -> str:
    rows = [
        [
            row["figure"],
            escape(row.get("where") or ""),
            findings.compared_with(row),
            estimate(row.get("difference"), (row.get("lo"), row.get("hi"))),
            number(row["margin"]),
            findings.OUTCOMES[row["outcome"]],
        ]
        for row in findings.worst_comparisons(result["compared"])
    ]
    header = ("figure", "worst class", "against", "difference", "margin", "not worse")
    return table(header, rows) if rows else ""


def _served(result: Mapping[str, Any]) -> str:
    validation = result["serving_validation"]
    if validation is None:
        return ""
    rows = [
        [escape(row["name"]), escape(row["value"]), row["limit"], findings.OUTCOMES[row["outcome"]]]
        for row in serving_validation.rows(validation)
    ]
    words = sentence(serving_validation.told(validation))
    return f"{words}\n\n{table(('what was looked at', 'the worst', 'at most', 'outcome'), rows)}" if rows else words


def _versions(result: Mapping[str, Any]) -> str:
    figures = ("mean_kid_relative", "tail_kid_relative", "worst_label_agreement_ratio", "kid", "fid")
    rows = [
        [
            number(row["version"]),
            history.day(row),
            "**serves**" if row["state"] == "serving" else row["state"],
            *(number(row[figure]) for figure in figures),
        ]
        for row in reversed(result["versions"])
    ]
    header = ("version", "pushed (UTC)", "state", *(figure.replace("_", " ") for figure in figures))
    return table(header, rows) if rows else ""
