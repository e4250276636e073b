"""What is told of a generator that a server was started with."""

import json

import pytest

from pipeline import cli, report, report_markdown, results, serving_validation
from pipeline.config import ConfigError
from pipeline.local import _outcome
from pipeline.record import NodeRecord, RunRecord

SLOW = "it is <slow>, above `serving.validation.max_latency_ms`"


def check(name, where, value, limit, unit="", reason=""):
    return {"name": name, "where": where, "value": value, "limit": limit, "unit": unit, "reason": reason}


GOOD = {
    "blessed": True, "skipped": None, "reasons": [], "server": "local",
    "checks": [
        check("faulty rows", "array, gRPC", 0, 0),
        check("p95 of a request for 1 image", "serving_default, gRPC", 4.5, 2000.0, "ms"),
        check("p95 of a request for 1 image", "serving_default, REST", 5.25, 2000.0, "ms"),
        check("p50 of a request for 1 image", "serving_default, gRPC", 4.0, None, "ms"),
    ],
}  # fmt: skip
REFUSED = {
    **GOOD, "blessed": False, "reasons": [f"serving_default, gRPC: p95 of a request for 1 image: {SLOW}"],
    "checks": [
        check("faulty rows", "array, gRPC", None, 0, reason="INVALID_ARGUMENT: no"),
        check("faulty rows", "array, REST", 3, 0, reason="row 0"),
        check("p95 of a request for 1 image", "serving_default, gRPC", 4000.0, 2000.0, "ms", SLOW),
    ],
}  # fmt: skip
SKIPPED = {**GOOD, "blessed": False, "skipped": "the Evaluator gave nothing to push", "server": None, "checks": []}


@pytest.fixture
def validated(root):
    """Gives the run of `root` a validation."""

    def give(validation):
        folder = root / "ServingValidator"
        folder.mkdir(exist_ok=True)
        (folder / "validation.json").write_text(validation if isinstance(validation, str) else json.dumps(validation))
        record = RunRecord.load(root)
        record.nodes["ServingValidator"] = NodeRecord(state="complete", outputs={"blessing": [str(folder)]})
        record.save(root)
        return root

    return give


def test_a_run_without_a_server_has_no_section_of_one(root):
    assert results.collect(root)["serving_validation"] is None
    assert "In a server" not in report.render(root) + report_markdown.render(results.collect(root))


def test_what_serves_is_told_with_the_worst_figure_of_each_kind(validated):
    root = validated(GOOD)
    collected = results.collect(root)
    assert collected["serving_validation"] == GOOD and collected["verdict"] == "blessed"
    assert serving_validation.rows(GOOD)[1] == {
        "name": "p95 of a request for 1 image", "value": "5.250 ms (serving_default, REST)", "limit": "2000.000 ms",
        "outcome": "pass",
    }  # fmt: skip
    assert serving_validation.rows(GOOD)[2]["limit"] == "–"  # the median has none
    for text in (report.render(root), report_markdown.render(collected), report.summary(collected)):
        assert "local: all 4 checks pass" in text
    assert "5.250 ms (serving_default, REST)" in report.render(root)
    assert _outcome(RunRecord.load(root)) == "pushed"


def test_what_a_server_refuses_is_not_blessed_whatever_the_gate_says(validated, root):
    before = results.collect(root)
    assert before["verdict"] == "blessed"
    root = validated(REFUSED)
    collected = results.collect(root)
    assert collected["verdict"] == "rejected" and collected["blessed"] is False and collected["undecided"] is False
    assert collected["reasons"] == [f"in a server: {REFUSED['reasons'][0]}", *before["reasons"]]
    assert _outcome(RunRecord.load(root)) == "not_blessed"
    rows = {row["name"]: row for row in serving_validation.rows(REFUSED)}
    assert rows["faulty rows"]["value"] == "– (array, gRPC)"  # a figure that could not be taken is the worst
    assert {row["outcome"] for row in rows.values()} == {"fail"}
    page = report.render(root)
    assert "Not blessed" in page and "it is &lt;slow&gt;" in page and "local: 3 of 3 checks fail" in page
    assert "server: local: 3 of 3 checks fail" in report.summary(collected)


def test_status_names_what_a_server_refused(validated, capsys):
    root = validated(REFUSED)
    assert cli.main(["status", "--root", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"in a server: {REFUSED['reasons'][0]}"
    validated("{")  # no reason to say nothing of the run
    assert cli.main(["status", "--root", str(root)]) == 0


def test_a_server_that_was_not_started_changes_no_verdict(validated, root):
    before = results.collect(root)
    collected = results.collect(validated(SKIPPED))
    assert {key: collected[key] for key in ("verdict", "reasons")} == {k: before[k] for k in ("verdict", "reasons")}
    assert "none was started: the Evaluator gave nothing to push" in report.render(root)


@pytest.mark.parametrize("text", ["", "{"])
def test_a_damaged_validation_is_named(validated, text):
    with pytest.raises(ConfigError, match=r"validation\.json: cannot be read .*`tailgan run` makes it again"):
        results.collect(validated(text))
