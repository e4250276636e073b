"""The page of a run: what it shows of the training, and what it leaves out where there is none."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image

from pipeline import curves, report, results
from pipeline.pictures import reduced
from pipeline.record import RunRecord


def watched(root, **last) -> None:
    """Adds what a training with two looks leaves."""
    figures = {
        "d_train": 0.5, "d_heldout": 0.1, "d_generated": -0.5, "overfitting": 0.6, "diversity": 0.9,
        "diversity_worst": 0.8, "diversity_by_class": {"one": None, "<few>": 0.8, "many": 1.0},
    }  # fmt: skip
    basic = {"d_loss": 1.0, "g_loss": 0.5, "d_real": 0.1, "d_fake": -0.1, "d_gradient": 2.0, "g_gradient": 3.0}
    rows = [{"step": 50, **basic}, {"step": 100, **basic, **figures}, {"step": 150, **basic, **figures, **last}]
    (root / "GAN" / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "GAN" / "samples").mkdir()
    for step in range(1, 11):
        Image.new("L", (24, 16), step).save(root / "GAN" / "samples" / f"step-{step * 100:06d}.png")
    np.savez(
        root / "GAN" / "showcase.npz", labels=[2, 1], psi=[0.5, 1.0],
        interpolation=np.zeros((2, 3, 8, 8, 1), np.uint8), truncation=np.zeros((2, 2, 3, 8, 8, 1), np.uint8),
    )  # fmt: skip


def doubted(root, count: int, of: int | None = None) -> None:
    """So many doubted labels in the file, of so many in all."""
    np.savez(
        root / "Judge" / "disagreements.npz", images=np.zeros((count, 8, 8, 1), np.uint8),
        ids=np.array([f"id-{i}".encode() for i in range(count)]), labels=np.zeros(count, int),
        predicted=np.ones(count, int), probability=np.linspace(1, 0.5, count),
        counts=np.array([[0, count if of is None else of], [0, 0]]),
    )  # fmt: skip


CURVE = "<svg xmlns"  # those of matplotlib
TITLES = ("Training of the GAN", "From the first look", "From one latent", "Truncation", "Labels that the judge doubts")


def test_a_run_without_history_has_no_section_of_training(root):
    page = report.render(root)
    assert not [title for title in TITLES if title in page] and "Class by class" in page
    assert results.collect(root)["training"] == {
        "steps": None, "warnings": [], "monitor": None, "disagreements": None
    }  # fmt: skip


def test_a_history_without_looks_has_its_curves(root):
    (root / "GAN" / "history.jsonl").write_text('{"step": 50, "d_loss": 1.0, "g_loss": 2.0}\n')
    page = report.render(root)
    assert page.count(CURVE) == 1 and "At the last look" not in page
    assert results.collect(root)["training"]["steps"] == 50


def test_everything_that_is_there_is_shown(root):
    watched(root)
    doubted(root, 3)
    page = report.render(root)
    assert all(title in page for title in TITLES)
    assert page.count(CURVE) == 6 and "nothing was alarming" in page and "one: n/a" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!#)|@import""", page)


def test_alarms_of_the_last_look_are_told_on_the_page_the_screen_and_as_json(root):
    watched(root, overfitting=0.95, diversity_by_class={"one": None, "<few>": 0.1, "many": 1.0})
    training = results.collect(root)["training"]
    assert [text.partition(":")[0] for text in training["warnings"]] == ["overfitting", "collapse"]
    assert training["steps"] == training["monitor"]["step"] == 150 and training["monitor"]["overfitting"] == 0.95
    page = report.render(root)
    assert page.count('class="warning"') == 2 and "&lt;few&gt; (10%)" in page and "nothing was alarming" not in page
    assert "<few> (10%)" in " ".join(report.summary(results.collect(root)).split())
    json.dumps(training)


def test_bounds_are_those_of_the_run(root):
    watched(root, overfitting=0.95)
    record = RunRecord.load(root)
    record.config["gan"] = {"monitor": {"overfitting_ceiling": 0.99}}
    record.save(root)
    assert results.collect(root)["training"]["warnings"] == []


def test_the_strip_of_looks_has_the_first_and_the_last(root):
    watched(root)
    steps = [int(step) for step in re.findall(r"<figcaption>step (\d+)", report.render(root))]
    assert len(steps) == 6 and steps[0] == 100 and steps[-1] == 1000 and steps == sorted(steps)


def test_doubted_labels_come_in_the_order_of_the_file_and_not_too_many_but_all_are_counted(root):
    doubted(root, 100, of=500)
    page = report.render(root)
    shown = re.findall(r'title="(id-\d+)"', page)
    assert shown == [f"id-{i}" for i in range(60)]
    assert "500 training images, the 60" in page and "many → &lt;few&gt;" in page
    assert results.collect(root)["training"]["disagreements"] == 500


def test_no_doubts_are_none_and_not_unknown(root):
    doubted(root, 0)
    assert "Labels that the judge doubts" not in report.render(root)
    assert results.collect(root)["training"]["disagreements"] == 0


def test_figures_that_some_looks_lack_are_left_out_of_a_curve():
    rows = [{"step": 1, "overfitting": None}, {"step": 2, "overfitting": 0.7}]
    (svg,) = curves.draw(rows, [curves.Panel("t", {"p": "overfitting"}), curves.Panel("u", {"q": "missing"})])
    assert svg.startswith("<svg") and ">p<" in svg


def test_large_pictures_are_made_smaller(tmp_path):
    Image.new("RGB", (2000, 1000)).save(tmp_path / "large.png")
    uri = reduced(tmp_path / "large.png", 480)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert picture.size == (480, 240)


def test_tables_have_headers_with_a_scope_and_pictures_a_text(root):
    watched(root)
    doubted(root, 1)
    page = report.render(root)
    assert not re.findall(r"<th(?![^>]*scope)[ >]", page)
    assert not re.findall(r"<img(?![^>]*alt=)", page)
    assert not re.findall(r"<svg (?!xmlns)(?![^>]*aria-)", page)
