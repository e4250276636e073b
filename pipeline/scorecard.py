"""The figures in four words, for people who do not read FID: is it like real images, varied, balanced, and new?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Word = Literal["good", "fair", "poor", "cannot tell"]

_WORST_FIRST: tuple[Word, ...] = ("poor", "cannot tell", "fair", "good")
SYMBOLS: dict[Word, str] = {"good": "✓", "fair": "◐", "poor": "✗", "cannot tell": "?"}
_COVERAGE = "worst.coverage / null_coverage"


@dataclass(frozen=True)
class Bound:
    """How a figure becomes a word: `good` and `fair` are the worst values that still are."""

    figure: str
    good: float
    fair: float
    more_is_better: bool
    says: str


# The bounds of "fair" are those of the gate's default rules where there is one for the figure. A p-value says that
# there is copying and not how much of it, so by itself it never makes more of it than "fair".
BOUNDS: dict[str, tuple[Bound, ...]] = {
    "fidelity": (
        Bound("mean.kid_relative", 0.1, 0.2, False, "mean distance from real images; 1 is as far as another class"),
        Bound("worst.kid_relative", 0.2, 0.3, False, "the same for the worst class"),
    ),
    "variety": (
        Bound("worst.diversity", 0.6, 0.4, True, "how different images of a class are; 1 as real ones, 0 all alike"),
        Bound(_COVERAGE, 0.7, 0.5, True, "part of the real images that have generated ones near; 1 as real ones"),
    ),
    "balance": (
        Bound("balance.dead", 0, 0, False, "classes that are never seen among generated images"),
        Bound("balance.kl", 0.05, 0.2, False, "how far the classes seen are from those asked for; 0 is not at all"),
        Bound("worst.label_agreement_ratio", 0.9, 0.8, True, "how often the class asked for is seen; 1 as in real"),
    ),
    "copying": (
        Bound("worst.closest_record_ratio", 0.6, 0.4, True, "distance from training images; 1 as new images, 0 copies"),
        Bound("worst.copied", 0.1, 0.3, False, "part of the images nearer to training images than new ones ever are"),
        Bound("memorization.p", 0.01, 0, True, "probability of distances this small if nothing is copied"),
    ),
}  # fmt: skip

QUESTIONS = {
    "fidelity": "Do generated images look like real ones?",
    "variety": "Are they as different from each other as real ones?",
    "balance": "Is each class there, and what was asked for?",
    "copying": "Are they new, or training images again?",
}
_MEANINGS: dict[str, dict[Word, str]] = {
    "fidelity": {
        "good": "Images of every class are close to real ones.",
        "fair": "Close to real images, but in the weakest classes a difference can be measured.",
        "poor": "Images of at least one class are unlike real ones.",
    },
    "variety": {
        "good": "Every class is nearly as varied as in reality.",
        "fair": "Some classes are less varied than in reality.",
        "poor": "At least one class shows a few pictures over and over.",
    },
    "balance": {
        "good": "Every class is made, and is what was asked for.",
        "fair": "Every class is made; some images belong to another class than asked for.",
        "poor": "A class is missing, or often another one than asked for.",
    },
    "copying": {
        "good": "Nothing points to copies of training images.",
        "fair": "Nearer to training images than unseen real images are; look at the nearest ones below.",
        "poor": "At least one class gives training images again, or images all but equal to them.",
    },
}
_TOO_FEW = "There are too few images{} to say."
_UNKNOWN = "It could not be measured."

# Which rules of the gate ask about which of the four.
_ASKED = {
    "fidelity": {"kid", "kid_p", "kid_relative", "fid", "inception_score", "precision", "density", "c2st"},
    "variety": {"diversity", "coverage", "recall"},
    "balance": {"balance", "label_agreement", "label_agreement_ratio", "judge_recall"},
    "copying": {"memorization", "memorization_p", "closest_record_ratio", "copied"},
}


@dataclass(frozen=True)
class Figure:
    """A figure behind a word; `where` is the class it is about, "" if all."""

    figure: str
    value: float | None
    lo: float | None
    hi: float | None
    where: str
    word: Word
    says: str


@dataclass(frozen=True)
class Score:
    """One of the four.

    Attributes:
      name: `fidelity`, `variety`, `balance` or `copying`.
      word: the worst of its figures' words.
      meaning: the word, in a sentence.
      figures: what it rests on.
      remarks: where the rules of the gate say otherwise.
    """

    name: str
    question: str
    word: Word
    symbol: str
    meaning: str
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...]


def scorecard(document: Mapping[str, Any]) -> list[Score]:
    """The four scores of an evaluation; of a document that has not the figures, all "cannot tell"."""
    scores = []
    for name, bounds in BOUNDS.items():
        figures = tuple(_judged(document, bound) for bound in bounds)
        word = min((figure.word for figure in figures), key=_WORST_FIRST.index)
        meaning = _MEANINGS[name].get(word) or _undecided([figure for figure in figures if figure.word == word])
        remarks = tuple(_remarks(name, word, document["rules"]))
        scores.append(Score(name, QUESTIONS[name], word, SYMBOLS[word], meaning, figures, remarks))
    return scores


def as_dicts(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Plain dictionaries, for JSON."""
    return [asdict(score) for score in scores]


def word_of(value: float | None, lo: float | None, hi: float | None, bound: Bound) -> Word:
    """The word of a figure.

    "good" and "fair" are what its whole interval allows to say, "poor" what all of it misses; where it reaches from
    "poor" to better, nobody can tell. A figure without an interval is taken at its value.
    """
    if value is None:
        return "cannot tell"
    sign = 1 if bound.more_is_better else -1
    ends = sorted(sign * (value if end is None else end) for end in (lo, hi))
    if ends[0] >= sign * bound.good:
        return "good"
    if ends[0] >= sign * bound.fair:
        return "fair"
    return "poor" if ends[1] < sign * bound.fair else "cannot tell"


def _undecided(figures: Sequence[Figure]) -> str:
    """Why nobody can tell, from the figures that do not."""
    if any(figure.value is None for figure in figures):
        return _UNKNOWN
    classes = ", ".join(dict.fromkeys(figure.where for figure in figures if figure.where))
    return _TOO_FEW.format(f" of class {classes}" if classes else "")


def _judged(document: Mapping[str, Any], bound: Bound) -> Figure:
    value, (lo, hi), where = _look_up(document, bound.figure)
    return Figure(bound.figure, value, lo, hi, where, word_of(value, lo, hi, bound), bound.says)


def _look_up(document: Mapping[str, Any], figure: str) -> tuple[float | None, Sequence[float | None], str]:
    """Value, interval and class of a figure."""
    group, _, name = figure.partition(".")
    if figure == _COVERAGE:
        return _worst_coverage(document["per_class"])
    if figure == "balance.dead":
        dead = (document.get("balance") or {}).get("dead")
        return (None if dead is None else len(dead)), (None, None), ", ".join(dead or ())
    if group in ("balance", "memorization"):
        return (document.get(group) or {}).get(name), (None, None), ""
    found = (document.get("groups") or {}).get(group, {})
    interval = found.get("intervals", {}).get(name) or (None, None)
    return found.get(name), interval, found.get("where", {}).get(name) or ""


def _worst_coverage(classes: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, Sequence[float | None], str]:
    """Coverage over what real images read, of the class where it is least; bounds hold for every class."""
    values, lows, highs = {}, [], []
    for name, row in classes.items():
        value, null = row.get("coverage"), row.get("null_coverage")
        if value is None or not null:
            return None, (None, None), name
        lo, hi = (row.get("intervals") or {}).get("coverage") or (None, None)
        values[name] = value / null
        lows.append((value if lo is None else lo) / null)
        highs.append((value if hi is None else hi) / null)
    where = min(values, key=values.__getitem__)
    return values[where], (min(lows), min(highs)), where


def _remarks(name: str, word: Word, rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the gate is stricter than a word, or does not ask about what the word finds wrong."""
    asking = [rule for rule in rules if _ASKED[name] & set(rule["figure"].split("."))]
    strict = [rule for rule in asking if rule["outcome"] != "pass"]
    if word in ("good", "fair"):
        told = {"fail": "it does not hold", "cannot_tell": "it cannot be told"}
        return [f"The gate is stricter: `{rule['rule']}`, and {told[rule['outcome']]}." for rule in strict]
    if strict:
        return []
    return ["The rules of the gate that ask about this hold." if asking else "No rule of the gate asks about this."]
