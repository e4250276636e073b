"""Real or made?: what is dealt, kept and counted."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from metrics.agreement import wilson_interval as reference
from serving.human_evaluation import Guessing, Question, append, tally, wilson_interval

HOME = Path(__file__).resolve().parents[2]


def guessing(tmp_path, seed: int = 0) -> Guessing:
    return Guessing(dict, tmp_path / "guesses.jsonl", random.Random(seed))


def row(name: str, right: bool, version: int = 1) -> dict:
    return {"name": name, "version": version, "shown": "real", "guess": "real" if right else "made"}


@pytest.mark.parametrize(("right", "shown"), [(0, 1), (1, 1), (7, 20), (81, 263), (1000, 1000)])
def test_the_interval_is_wilsons(right, shown):
    assert wilson_interval(right, shown) == pytest.approx(reference(right, shown), abs=1e-12)


def test_a_version_is_counted_by_class(tmp_path):
    file = tmp_path / "guesses.jsonl"
    for guess in (row("b", True), row("a", True), row("a", False), row("a", True, version=2)):
        append(file, guess)
    counted = tally(file, 1)
    assert list(counted) == ["a", "b"]
    assert (counted["a"]["shown"], counted["a"]["right"]) == (2, 1)
    assert [counted["a"]["lo"], counted["a"]["hi"]] == pytest.approx(reference(1, 2))
    assert tally(file, 2)["a"]["shown"] == 1 and tally(file, None) == {} and tally(tmp_path / "none", 1) == {}


def test_a_made_image_that_is_called_made_is_right(tmp_path):
    deck = guessing(tmp_path)
    for shown, guess in (("made", "made"), ("made", "real"), ("real", "made")):
        token = deck.ask(Question("s", "m", 1, "a", shown, 0))
        assert deck.answer(token, guess).shown == shown
    assert (tally(deck.file, 1)["a"]["shown"], tally(deck.file, 1)["a"]["right"]) == (3, 1)


def test_a_question_is_answered_once(tmp_path):
    deck = guessing(tmp_path)
    token = deck.ask(Question("s", "m", 1, "a", "real", 0))
    assert deck.answer(token, "real") is not None
    assert deck.answer(token, "made") is None and deck.answer("unknown", "made") is None
    assert len(deck.file.read_text().splitlines()) == 1


@pytest.mark.parametrize("torn", [b'{"name": "a", "ver', b"\xff\xfe", b'[1]\n"text"\n{}'])
def test_a_torn_line_costs_no_other(tmp_path, torn):
    file = tmp_path / "guesses.jsonl"
    append(file, row("a", True))
    with file.open("ab") as opened:
        opened.write(torn)
    append(file, row("a", True))
    assert tally(file, 1)["a"]["shown"] == 2


def test_processes_that_write_together_write_whole_lines(tmp_path):
    file = tmp_path / "guesses.jsonl"
    program = (
        "import sys, pathlib\nfrom serving.human_evaluation import append\n"
        "for i in range(100): append(pathlib.Path(sys.argv[1]), {'name': sys.argv[2] * 3000, 'i': i})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(file), who], cwd=HOME) for who in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for who in "abc":
        assert [row["i"] for row in rows if row["name"] == who * 3000] == list(range(100))


def test_a_person_sees_a_real_image_once_and_made_ones_as_often(tmp_path):
    deck = guessing(tmp_path)
    real = made = 0
    for _ in range(100):
        session, seen = deck.session(None), []
        while dealt := deck.deal(session, {"a": 10, "b": 3}):
            seen.append(dealt)
        of_real = [pair for pair in seen if pair[1] is not None]
        assert sorted(of_real) == [("a", n) for n in range(10)] + [("b", n) for n in range(3)]
        real, made = real + len(of_real), made + len(seen) - len(of_real)
    assert 0.45 < real / (real + made) < 0.58  # the last of all is always real


def test_sessions_do_not_know_of_each_other_and_old_ones_are_forgotten(tmp_path):
    deck = guessing(tmp_path)
    first = deck.session(None)
    while deck.deal(first, {"a": 2}):
        pass
    assert deck.session(first) == first and deck.session("made up") not in (first, "made up")
    assert deck.deal(deck.session(None), {"a": 2}) is not None
    for _ in range(1000):
        deck.session(None)
    assert deck.session(first) != first
