"""The page, the Markdown and the terminal tell an evaluation alike, whole or not."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from components.evaluator.constants import EVALUATION_FILE, SAMPLES_FILE
from components.pusher import history
from models.dataset import DatasetInfo
from pipeline import cli, report, report_markdown, results
from pipeline.config import ConfigError

CLASSES = ("many", "<few>", "one")


def older_evaluation() -> dict:
    """As the first version of this project wrote it."""
    row = dict.fromkeys(
        ("eval_real", "kid", "null_kid", "label_agreement", "label_agreement_ratio", "judge_recall"), 0.5
    )
    return {
        "generator": "g", "verdict": "rejected", "blessed": False, "reasons": ["`fid <= 0.5` does not hold: it is 1"],
        "rules": [{"rule": "fid <= 0.5", "value": 1.0, "passed": False, "where": None}],
        "compared": [{"figure": "kid", "value": 0.5, "served": 0.1, "margin": 0.1, "passed": False}],
        "fid": 1.0, "kid": 0.1, "inception_score": 2.0, "label_agreement": 0.9,
        "null": {"n": 10, "fid": 1.0, "kid": 0.0, "model_fid": 1.0, "model_kid": 0.0},
        "per_class": {name: row for name in CLASSES}, "judge": {"accuracy": 0.9, "eval_images": 36},
    }  # fmt: skip


def spoil(root, **changes) -> None:
    """Changes the evaluation of a root."""
    path = root / "Evaluator" / EVALUATION_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rule(outcome, figure="diversity", **more):
    return {
        "rule": f"worst.{figure} >= 0.95", "figure": figure, "operator": ">=", "threshold": 0.95, "value": 0.9,
        "lo": 0.85, "hi": 0.99, "outcome": outcome, "passed": outcome == "pass", "where": "<few>",
        "why": f"{outcome}: on both sides of `0.95`", **more,
    }  # fmt: skip


def text_of(page: str) -> str:
    """What a person reads of a page, or of a part of it."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_verdict_comes_first_with_its_reasons(root):
    spoil(root, verdict="rejected", blessed=False, reasons=["class <few> fails `x >= 1`"], rules=[rule("fail")])
    page = report.render(root)
    body = page[page.index("<h1>") :]
    assert body.index("Not blessed.") < body.index("class &lt;few&gt; fails <code>x &gt;= 1</code>")
    assert body.index("&lt;few&gt; fails") < body.index("In four words") and "cannot tell" not in text_of(body[:900])


@pytest.mark.parametrize(
    ("rules", "undecided"),
    [
        ([rule("pass"), rule("cannot_tell")], True),
        ([rule("fail"), rule("cannot_tell")], False),
        ([rule("cannot_tell", value=None), rule("cannot_tell", value=None)], False),  # a broken generator
        ([], False),
    ],
)
def test_what_cannot_be_told_is_no_failure(root, rules, undecided):
    spoil(root, verdict="rejected", blessed=False, rules=rules)
    found = results.collect(root)
    assert found["undecided"] is undecided
    for told in (report.render(root), report_markdown.render(found)):
        assert ("Not blessed: cannot tell" in told) is undecided
    assert report.summary(found).startswith("verdict: rejected (cannot tell)" if undecided else "verdict: rejected\n")


def test_a_rule_is_told_with_outcome_class_and_why(root):
    spoil(root, rules=[rule("pass"), rule("fail"), rule("cannot_tell")])
    page = report.render(root)
    gate = page[page.index("The gate") :]
    for outcome, word in (("pass", "holds"), ("fail", "fails"), ("cannot_tell", "cannot tell")):
        assert re.search(rf'class="left nowrap {outcome}">{word}<', gate) and f"{outcome}: on both sides" in gate
    told = report_markdown.render(results.collect(root))
    assert "| cannot tell | 0.900 [0.850, 0.990] | \\<few\\> | cannot\\_tell: on both sides of `0.95` |" in told


def test_the_four_words_are_in_every_form(root):
    spoil(root, balance={"wanted": [1] * 3, "predicted": [1] * 3, "kl": 0.001, "dead": ["<few>"]})
    found = results.collect(root)
    assert [(score["name"], score["word"]) for score in found["scorecard"]] == [
        ("fidelity", "good"), ("variety", "good"), ("balance", "poor"), ("copying", "good")
    ]  # fmt: skip
    page = report.render(root)
    assert "Balance: ✗ poor" in text_of(page) and text_of(page).count("✓ good") == 3
    assert 'class="score poor"' in page and "No rule of the gate asks about this." in page
    assert re.search(r"^balance +poor +A class is missing", report.summary(found), re.M)
    assert "| balance | ✗ **poor** |" in report_markdown.render(found)


def test_classes_come_rarest_first_with_figures_and_intervals(root):
    found = results.collect(root)
    page = report.render(root)
    part = page[page.index("Class by class") :]
    places = [part.index(f'class="named">{name}') for name in ("one", "&lt;few&gt;", "many")]
    assert places == sorted(places)
    assert part.count('class="whisker"') == 4 * 3 and "0.90 [0.86, 0.94]" in part
    assert re.findall(r"^(one|<few>|many) .*0\.90 \[0\.86, 0\.94\]", report.summary(found), re.M) == [
        "one", "<few>", "many"
    ]  # fmt: skip
    told = report_markdown.render(found)
    assert told.index("| one | 1 |") < told.index("| \\<few\\> | 5 |") < told.index("| many | 30 |")


def test_what_is_remarkable_of_a_class_is_said(root):
    rows = json.loads((root / "Evaluator" / EVALUATION_FILE).read_text())["per_class"]
    rows["one"] |= {"enough_data": False, "eval_real": 7, "smallest_kid_relative": 0.451}
    rows["<few>"] |= {"looks_like": "many", "looks_like_part": 0.87}
    spoil(root, per_class=rows)
    found = results.collect(root)
    for told in (text_of(report.render(root)), report.summary(found), report_markdown.render(found)):
        assert "too few eval images (7) to see a distance below 0.45" in told
        assert "looks like many (87%)" in told and told.count("looks like") == 1


def test_the_nearest_training_images_are_shown_and_older_files_have_none(root):
    page = report.render(root)
    assert page.count('alt="training images of') == 3 and page.count("data:image/png") == 9
    images = np.zeros((3, 2, 8, 8, 1), np.uint8)
    np.savez(root / "Evaluator" / SAMPLES_FILE, real=images, generated=images, real_count=[2, 2, 1])
    page = report.render(root)
    assert page.count("data:image/png") == 6 and "nearest to each" not in page


def compared(figure, where, value, other, outcome, against="serving"):
    return {
        "against": against, "version": 7, "figure": figure, "where": where, "value": value, "other": other,
        "difference": value - other, "lo": value - other - 0.1, "hi": value - other + 0.1, "margin": 0.1,
        "outcome": outcome, "passed": outcome == "pass",
    }  # fmt: skip


def test_of_each_comparison_the_worst_class_is_shown_and_the_others_on_request(root):
    rows = [
        compared("kid", "many", 0.2, 0.1, "pass"),
        compared("kid", "one", 0.1, 0.3, "fail"),  # an outcome weighs more than a difference
        compared("label_agreement", "many", 0.9, 0.8, "pass"),
        compared("label_agreement", "one", 0.7, 0.8, "pass"),
        compared("label_agreement", "one", 0.7, 0.8, "cannot_tell", against="best"),
    ]
    spoil(root, compared=rows)
    page = report.render(root)
    part = page[page.index("Beside other versions") :]
    shown, _, all_of_them = part.partition("<details>")
    first = [text_of(row) for row in re.findall(r"<tr><th scope=.row.>.*?</td>", shown)]
    assert first == ["kid one", "label_agreement one", "label_agreement one"]
    assert "All 5 comparisons" in all_of_them and "the best ever served (version 7)" in shown
    found = results.collect(root)
    assert [row["served"] for row in found["compared"]] == [row["other"] for row in rows]  # its name of before
    told = report_markdown.render(found)
    assert "| kid | one | what serves (version 7) | -0.200 [-0.300, -0.100] | 0.100 | fails |" in told
    assert "| kid | many |" not in told


def test_the_versions_are_listed_newest_first_and_drawn(root, document):
    base = root / "serving"
    for version in (1, 2, 3):
        (base / str(version)).mkdir(parents=True)
        (base / str(version) / "saved_model.pb").touch()
        told = {"version": version, "time": "2026-01-02T03:04:05+00:00", "generator": "g"}
        history.append(base, {**told, **history.figures(document())})
    shutil.rmtree(base / "3")
    found = results.collect(root)
    assert [row["state"] for row in found["versions"]] == ["kept", "serving", "removed"]
    page = report.render(root)
    part = page[page.index("<h2>Versions") :]
    assert re.findall(r'<tr class="(\w+)">', part) == ["removed", "serving", "kept"]
    assert part.count("<svg") == 1 and part.count("<circle") == 3 and "0.050 of 2 (serving)" in part
    assert "| 2 | 2026-01-02 03:04 | **serves** | 0.050 |" in report_markdown.render(found)


def test_one_version_makes_no_curve_and_none_no_section(root, document):
    assert "<h2>Versions" not in report.render(root)
    history_of_one = {"version": 1, "time": None, "generator": "g", **history.figures(document())}
    (root / "serving").mkdir()
    history.append(root / "serving", history_of_one)
    page = report.render(root)
    assert "<h2>Versions" in page and 'class="trend"' not in page


def test_the_evaluation_of_an_earlier_version_is_shown_for_what_it_has(root):
    (root / "Evaluator" / EVALUATION_FILE).write_text(json.dumps(older_evaluation()))
    found = results.collect(root)
    assert found["per_class"]["one"]["judge_recall"] == 0.5 and found["per_class"]["one"]["kid_relative"] is None
    assert found["rules"][0]["outcome"] == "fail" and found["compared"][0]["other"] == 0.1 and found["fid"] == 1.0
    assert {score["word"] for score in found["scorecard"]} == {"cannot tell"}
    for told in (report.render(root), report.summary(found), report_markdown.render(found)):
        assert "earlier version of tailgan evaluated this run" in told
    assert "<code>fid &lt;= 0.5</code>" in report.render(root)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rules": [], "compared": []}', '{"rules": 1}', "\xff"])
def test_an_evaluation_that_is_none_is_told_in_a_sentence(root, content):
    (root / "Evaluator" / EVALUATION_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"evaluation.json: cannot be read .*`tailgan run` makes it again"):
        results.collect(root)


def test_figures_that_nobody_knows_are_dashes_in_every_form(root):
    nothing = json.loads((root / "Evaluator" / EVALUATION_FILE).read_text())
    for row in (*nothing["per_class"].values(), *nothing["groups"].values()):
        row.update(dict.fromkeys(row.keys() - {"intervals", "group", "classes", "where"}))
        row["intervals"] = {name: [None, None] for name in row["intervals"]}
    whole = ("fid", "kid", "inception_score", "label_agreement", "c2st", "null")
    spoil(root, **{**nothing, **dict.fromkeys(whole)})
    found = results.collect(root)
    for told in (text_of(report.render(root)), report.summary(found), report_markdown.render(found)):
        assert "–" in told and "None" not in told and "nan" not in told


def test_a_thousand_classes_are_cut_to_the_hundred_rarest(root, document):
    names = tuple(f"c{i:03}" for i in range(1000))
    evaluation = document(CLASSES)
    row = evaluation["per_class"]["one"]
    evaluation["per_class"] = {name: row for name in names}
    spoil(root, **evaluation)
    counts = tuple(range(2000, 1000, -1))
    for node in ("ExampleGen", "Rebalancer"):
        DatasetInfo(
            classes=names, image_shape=(8, 8, 1), fingerprint="f" * 64, counts={"train": counts, "eval": counts},
            train_unique=counts, source_counts=counts, class_weights=(1.0,) * 1000,
        ).save(str(root / node))  # fmt: skip
    images = np.zeros((1000, 2, 8, 8, 1), np.uint8)
    np.savez(root / "Evaluator" / SAMPLES_FILE, real=images, generated=images, nearest=images, real_count=[2] * 1000)
    page = report.render(root)
    assert "and 900 larger classes" in page and "c999" in page and ">c899<" not in page and len(page) < 1_000_000


def test_markdown_and_json_are_printed_by_the_command(root, capsys):
    assert cli.main(["report", "--root", str(root), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# test: Blessed and pushed\n\n- the one rule holds\n")
    assert cli.main(["report", "--root", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scorecard"][0]["name"] == "fidelity"
    with pytest.raises(SystemExit):
        cli.main(["report", "--root", str(root), "--markdown", "--json"])


@pytest.mark.e2e
def test_a_browser_draws_the_page_in_the_light_and_in_the_dark(root, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")
    page = report.write(root)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

    def chromium(*arguments) -> str:
        command = [browser, *flags, f"--user-data-dir={tmp_path}/profile", *arguments, f"file://{page}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dom = text_of(chromium("--dump-dom"))
    assert "Blessed and pushed." in dom and "Fidelity: ✓ good" in dom
    background = {}
    for scheme, number in (("dark", 0), ("light", 1)):
        picture = tmp_path / f"{scheme}.png"
        chromium(
            f"--blink-settings=preferredColorScheme={number}", "--window-size=1100,2600", f"--screenshot={picture}"
        )
        pixels = np.asarray(Image.open(picture).convert("L"))
        assert pixels.std() > 10  # something is drawn
        background[scheme] = int(np.median(pixels))
    assert background["dark"] < 60 and background["light"] > 220
