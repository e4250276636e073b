"""The main job on the embedded digits, from images to a judged, pushed and called generator.

The tests of this file are one story, in order, on one root.
"""

import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

# Small enough for a test, good enough for the rules below.
FAST = ("gan.steps=600", "gan.checkpoint_every=200", "classifier.steps=400", "gate.samples_per_class=50")
RULES = "gate.rules=[label_agreement >= 0.8]"


def test_a_first_run_ends_with_a_blessed_and_pushed_generator(root):
    result = root.run("digits.yaml", *FAST, RULES)
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(root.states.values()) == {"complete"}
    assert "Blessed and pushed" in result.stdout
    assert len(root.versions) == 1 and (root.versions[0] / "saved_model.pb").is_file()
    log = next((root.path / "logs").glob("*.log")).read_text(errors="replace")
    assert "Going to run a new execution" in log and "INFO" not in result.stdout and not result.stderr
    assert "GAN: step 600 of 600" in log
    # Beam ran on this machine, where no copy of TFX is to be packed for it; temporary files are gone.
    assert "Attempting to infer TFX Python dependency" not in log and not (root.path / "tmp").exists()


def test_the_report_holds_every_promised_figure(root):
    report = root.report()
    assert report["blessed"] is True and report["verdict"] == "blessed"
    assert report["model_version"] == report["serving_version"] == int(root.versions[0].name)
    assert report["rules"][0]["rule"] == "label_agreement >= 0.8" and report["rules"][0]["passed"] is True
    assert report["label_agreement"] == report["rules"][0]["value"] >= 0.8
    for figure in ("fid", "kid", "inception_score"):
        assert isinstance(report[figure], float)
    assert set(report["null"]) >= {"fid", "kid"} and 0.5 < report["judge"]["accuracy"] <= 1
    assert list(report["per_class"]) == [str(digit) for digit in range(10)]
    for row in report["per_class"].values():
        assert set(row) >= {
            "train_real", "train_rebalanced", "eval_real", "kid", "null_kid", "label_agreement", "judge_recall",
            "kid_relative", "diversity", "closest_record_ratio", "intervals",
        }  # fmt: skip
    assert report["training"]["steps"] == report["training"]["monitor"]["step"] == 600
    assert report["serving_validation"]["blessed"] is True and not report["serving_validation"]["skipped"]
    assert set(report["seconds"]) == set(root.states) and all(s is not None for s in report["seconds"].values())


def test_the_tail_is_as_long_as_asked_and_half_as_long_after_rebalancing(root):
    rows = list(root.report()["per_class"].values())
    counts = [row["train_real"] for row in rows]
    tails = [[int(n_max * 10 ** (-i / 9)) for i in range(10)] for n_max in range(counts[0], 200)]
    assert counts[1:] in [tail[1:] for tail in tails]  # zero may have fewer images than the largest class
    assert [row["train_rebalanced"] for row in rows] == [round((max(counts) * n) ** 0.5) for n in counts]
    assert sum(row["eval_real"] for row in rows) > 300  # eval keeps all its images


def test_the_page_opens_in_a_browser_with_all_its_pictures(root, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")
    page = root.path / "report.html"
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!#)|@import""", page.read_text())  # self-contained
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    done = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path}/profile", "--window-size=1100,2600",
         f"--screenshot={picture}", f"file://{page}"],
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.std() > 10 and np.median(pixels) > 220  # something is drawn, on white
    subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path}/profile", "--blink-settings=preferredColorScheme=0",
         "--window-size=1100,2600", f"--screenshot={picture}", f"file://{page}"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert np.median(np.asarray(Image.open(picture).convert("L"))) < 60  # dark where the system is
    dom = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{page}"],
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    # Three strips a class, two sample grids, and of the five rarest classes one way between z and six truncations.
    assert dom.count("data:image/png;base64,") >= 30 + 2 + 5 + 5 * 6
    assert dom.count('alt="training images of') == 10 and dom.count("<svg xmlns") == 6
    text = " ".join(re.sub(r"<[^>]*>", " ", dom).split())
    assert f"Blessed and pushed as version {root.versions[0].name}." in text and "Versions" in text
    words = re.findall(r"(Fidelity|Variety|Balance|Copying): [✓◐✗?] (good|fair|poor|cannot tell) ", text)
    assert [name for name, _ in words] == ["Fidelity", "Variety", "Balance", "Copying"]


def test_what_was_found_is_pushed_with_the_version_and_stays_in_the_history(root):
    report, version = root.report(), root.versions[0]
    pushed = json.loads((version / "assets.extra" / "evaluation.json").read_text())
    assert pushed["generator"] == report["versions"][0]["generator"] and pushed["fid"] == report["fid"]
    card = (version / "assets.extra" / "modelcard.md").read_text()
    assert card.startswith("# Model card") and pushed["data"] in card
    (row,) = report["versions"]
    assert row["version"] == int(version.name) and row["state"] == "serving" and row["fid"] == report["fid"]
    assert row["mean_kid_relative"] == report["groups"]["mean"]["kid_relative"]


def test_the_report_is_markdown_too(root):
    told = root.tailgan("report", "--markdown", "--root", str(root.path)).stdout
    assert told.startswith(f"# digits: Blessed and pushed as version {root.versions[0].name}\n")
    assert "| fidelity |" in told and "| 9 |" in told and f"| {root.versions[0].name} |" in told


def test_a_second_run_says_that_it_serves_already_and_a_third_is_all_cached(root):
    result = root.run("digits.yaml", *FAST, RULES)
    assert result.returncode == 0 and "Already serving" in result.stdout
    states = root.states
    ran = {node for node, state in states.items() if state == "complete"}
    assert ran == {"Evaluator", "ServingValidator", "Pusher"}
    assert len(root.versions) == 1
    report = root.report()
    assert report["verdict"] == "already_serving" and report["blessed"] is True

    assert root.run("digits.yaml", *FAST, RULES).returncode == 0
    assert {node for node, state in root.states.items() if state == "complete"} == {"Pusher"}
    assert len(root.versions) == 1


def test_equal_labels_and_seeds_give_equal_bytes(root, tmp_path):
    paths = [tmp_path / "first.png", tmp_path / "second.png", tmp_path / "other.png"]
    for path, seed in zip(paths, ("3", "3", "4"), strict=True):
        args = ("--root", str(root.path), "--label", "9", "--count", "4", "--seed", seed, "--out", str(path))
        result = root.tailgan("sample", *args)
        assert result.returncode == 0, result.stderr
    first, second, other = (path.read_bytes() for path in paths)
    assert first == second != other
    assert Image.open(io.BytesIO(first)).size == (4 * 9 - 1, 8)


def test_an_unknown_class_is_refused_with_the_known_ones(root, tmp_path):
    result = root.tailgan("sample", "--root", str(root.path), "--label", "ten", "--out", str(tmp_path / "x.png"))
    assert result.returncode == 2 and "--label ten: no such class; the generator knows 0, 1" in result.stderr


def test_a_gate_that_is_not_met_pushes_nothing_and_says_why(root):
    result = root.run("digits.yaml", *FAST, "gan.steps=5", RULES)
    assert result.returncode == 3
    assert "Not blessed" in result.stdout and "`label_agreement >= 0.8` does not hold" in result.stdout
    assert len(root.versions) == 1
    report = root.report()
    assert report["blessed"] is False and report["model_version"] is None
    assert report["serving_version"] == int(root.versions[0].name)
    assert {"ExampleGen", "Judge", "Rebalancer"} <= {n for n, s in root.states.items() if s == "cached"}


def test_a_generator_that_is_worse_than_what_serves_is_not_pushed_though_it_meets_the_rules(root):
    result = root.run("digits.yaml", *FAST, "gan.steps=5", "gate.rules=[label_agreement >= 0]")
    assert result.returncode == 3 and root.states["GAN"] == "cached"
    version = root.versions[0].name
    told = " ".join(result.stdout.split())
    assert re.search(rf"label_agreement of class .* is worse than that of the serving version {version}", told)
    assert len(root.versions) == 1


def test_after_a_roll_back_the_same_generator_is_pushed_again(root):
    shutil.rmtree(root.versions[0])
    result = root.run("digits.yaml", *FAST, RULES)
    assert result.returncode == 0 and "Blessed and pushed" in result.stdout
    assert root.states["GAN"] == "cached" and len(root.versions) == 1
    removed, serving = root.report()["versions"]
    assert (removed["state"], serving["state"]) == ("removed", "serving") and removed["version"] < serving["version"]
    assert removed["generator"] == serving["generator"]


def test_what_a_server_refuses_is_not_pushed_and_the_report_says_why(root):
    shutil.rmtree(root.versions[0])
    result = root.run("digits.yaml", *FAST, RULES, "serving.validation.max_memory_mb=1")
    assert result.returncode == 3 and "Not blessed" in result.stdout and root.versions == []
    why = r"in a server: server: memory at its peak: \d+ MiB, above `serving.validation.max_memory_mb`"
    assert re.search(why, result.stdout)
    assert root.states["GAN"] == "cached" and root.states["ServingValidator"] == "complete"
    report = root.report()
    assert report["verdict"] == "rejected" and report["blessed"] is False and report["undecided"] is False
    assert re.fullmatch(why, report["reasons"][0])
    assert report["serving_validation"]["blessed"] is False
    assert "In a server" in (root.path / "report.html").read_text()

    # Without a server, the gate alone decides.
    result = root.run("digits.yaml", *FAST, RULES, "serving.validation.server=none")
    assert result.returncode == 0 and len(root.versions) == 1
    assert "ServingValidator" not in root.states and root.report()["serving_validation"] is None
