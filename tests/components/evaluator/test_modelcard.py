"""The model card says what is made, how good it is and what is not known, whatever classes are called."""

import re

import pytest

from components.evaluator import markdown, modelcard
from models.dataset import DatasetInfo

ODD = ("a|b", "<script>*x*</script>", "`tick`\\ [l](u) $m$")


def info(classes) -> DatasetInfo:
    return DatasetInfo(
        classes=classes, image_shape=(8, 6, 3), fingerprint="d" * 32,
        counts={"train": (300, 50, 7), "eval": (60, 20, 9)}, train_unique=(30, 5, 4), source_counts=(400, 80, 20),
        duplicates=11, quarantined=2, class_weights=(1.0,) * 3,
    )  # fmt: skip


def rows(card: str, title: str) -> dict[str, list[str]]:
    """Cells of the table under a heading, by the first of each row."""
    lines = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", card, re.M | re.S)[1].splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    assert len({len(row) for row in cells}) == 1
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells[2:]}


def test_it_has_the_headings_of_mitchell_and_others(document):
    card = modelcard.render(document(), info(("many", "some", "few")))
    assert re.findall(r"^## (.*)", card, re.M) == [
        "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
    ]  # fmt: skip


def test_counts_and_figures_are_those_of_the_data_and_the_document(document):
    evaluation = document()
    evaluation["per_class"]["few"] |= {"kid_relative": 0.123, "intervals": {"kid_relative": [0.1, None]}}
    card = modelcard.render(evaluation, info(("many", "some", "few")))
    assert rows(card, "Training data") == {"many": ["30", "60"], "some": ["5", "20"], "few": ["4", "9"]}
    assert rows(card, "Classes")["few"][0] == "0.123 [0.100, –]"
    assert rows(card, "Groups of classes")["tail"][0] == "0.050 [0.010, 0.090]"
    assert rows(card, "All images")["kid"] == ["0.100 [0.050, 0.150]"]
    assert rows(card, "Rules of the gate") == {
        "`worst.kid_relative <= 0.3`": ["pass", "few", "the interval of 0.05 ends at 0.09"]
    }
    assert "8 × 6 pixels with 3 channels" in card and "11 duplicates and 2 files" in card
    assert "features of the network `judge`" in card and "0.930 of the held-out" in card and "d" * 32 in card


def test_limits_are_named(document):
    evaluation = document()
    card = modelcard.render(evaluation, info(("many", "some", "few")))
    assert "Too few held-out images" not in card and "sees in no generated image" not in card
    evaluation["per_class"]["few"]["enough_data"] = False
    evaluation["balance"]["dead"] = ["some"]
    card = modelcard.render(evaluation, info(("many", "some", "few")))
    assert "stay unseen: few." in card and "no generated image: some." in card


def test_odd_class_names_are_text_and_never_markup(document):
    evaluation = document(ODD)
    evaluation["reasons"] = [f"class {ODD[1]} fails `worst.kid <= 1`"]
    card = modelcard.render(evaluation, info(ODD))
    names = ["a\\|b", "\\<script\\>\\*x\\*\\</script\\>", "\\`tick\\`\\\\ \\[l\\](u) \\$m\\$"]
    assert list(rows(card, "Classes")) == names and list(rows(card, "Training data")) == names
    assert "fails `worst.kid <= 1`" in card
    assert not re.search(r"(?<!\\)<script", card)


def test_what_could_not_be_known_is_a_dash(document):
    evaluation = document()
    for key in ("fid", "kid", "intervals", "balance", "memorization", "groups", "features"):
        evaluation[key] = None
    evaluation["per_class"] = {name: {} for name in evaluation["per_class"]}
    card = modelcard.render(evaluation, info(("many", "some", "few")))
    assert rows(card, "All images")["kid"] == ["–"] and rows(card, "Classes")["few"] == ["–"] * 5
    assert "None" not in card and "nan" not in card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`a <= 1` *fails*", "`a <= 1` \\*fails\\*"),
        ("one ` tick", "one \\` tick"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_sentence_keeps_its_code_and_nothing_else(text, expected):
    assert markdown.sentence(text) == expected


def test_a_bar_in_code_does_not_end_a_cell():
    assert markdown.table(["r"], [[markdown.code("class[a|b].kid <= 1")]]).splitlines()[2] == (
        "| `class[a\\|b].kid <= 1` |"
    )
