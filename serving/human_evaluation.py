"""Real or made? What people take images for: questions are dealt, and guesses are kept line by line, and counted.

One image at a time, as in HYPE (Zhou et al. 2019, "HYPE: A Benchmark for Human eYe Perceptual Evaluation of Generative
Models", section 3.2): 0.5 right means that nobody can tell made images from real ones.
"""

import fcntl
import json
import math
import os
import random
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

FILE_NAME = "human_evaluation.jsonl"
Z_95 = 1.959963984540054  # 0.975 quantile of the normal distribution
_REMEMBERED = 1000  # sessions, and questions without an answer, at most

Kind = Literal["real", "made"]
RealImages = Mapping[str, np.ndarray]  # uint8 [n, H, W, C] by class name


@dataclass(frozen=True)
class Question:
    """An image that was shown.

    Attributes:
      session: of the person.
      model, version: what made the made images.
      name: of the class.
      shown: what the image is.
      image: number of the real image, or seed of the made one.
    """

    session: str
    model: str
    version: int
    name: str
    shown: Kind
    image: int


class Guessing:
    """Deals questions and takes answers; safe to use from several threads."""

    def __init__(self, real: Callable[[], RealImages], file: Path, coin: random.Random | None = None):
        """Takes what reads the real images, the file of the guesses, and what decides; nobody may foresee that."""
        self.real = real
        self.file = file
        self._coin = coin or random.SystemRandom()
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, set[tuple[str, int]]] = OrderedDict()
        self._open: OrderedDict[str, Question] = OrderedDict()

    def session(self, token: str | None) -> str:
        """The session of that token, or a new one."""
        with self._lock:
            if token not in self._seen:
                token = secrets.token_urlsafe(12)
                _remember(self._seen, token, set())
            assert token is not None
            self._seen.move_to_end(token)
            return token

    def deal(self, session: str, counts: Mapping[str, int]) -> tuple[str, int | None] | None:
        """A class, and the number of one of its real images or None for a made one; both by chance.

        A person sees a real image once, for whoever knows it again does not guess. A class ends with its real images.

        Args:
          session: of the person.
          counts: real images of each class that may be asked for.

        Returns:
          None if the person has seen all of them.
        """
        with self._lock:
            seen = self._seen.get(session, set())
            unseen = {
                name: [number for number in range(count) if (name, number) not in seen]
                for name, count in counts.items()
            }
            names = [name for name, numbers in unseen.items() if numbers]
            if not names:
                return None
            name = self._coin.choice(names)
            if self._coin.random() < 0.5:
                return name, None
            number = self._coin.choice(unseen[name])
            seen.add((name, number))
            return name, number

    def ask(self, question: Question) -> str:
        """The token by which a question is answered; it says nothing of the answer."""
        token = secrets.token_urlsafe(12)
        with self._lock:
            _remember(self._open, token, question)
        return token

    def answer(self, token: str, guess: Kind) -> Question | None:
        """Keeps a guess, and returns its question; None if that is not open (any more)."""
        with self._lock:
            question = self._open.pop(token, None)
        if question is not None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            append(self.file, {"time": now, **asdict(question), "guess": guess})
        return question


def append(file: Path, row: Mapping[str, Any]) -> None:
    """Adds a line, whole: lines of several processes do not mix, and a line that was torn by a crash stays alone.

    Raises:
      OSError: if it cannot be written.
    """
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    with file.open("a+b", buffering=0) as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)  # until it is closed
        size = opened.seek(0, os.SEEK_END)
        if size:
            opened.seek(size - 1)
            if opened.read(1) != b"\n":
                line = b"\n" + line
        opened.write(line)
        os.fsync(opened.fileno())


def tally(file: Path, version: int | None) -> dict[str, dict[str, float]]:
    """What people made of the images of one version.

    Args:
      file: of the guesses; there may be none yet. Lines that are none are left out.
      version: of the model.

    Returns:
      {class: {`shown`, `right`: numbers of images, `lo`, `hi`: 95 % interval of right / shown}}, by name.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    shown: dict[str, int] = {}
    right: dict[str, int] = {}
    for line in lines:
        try:
            row = json.loads(line)
            name, of, kind, guess = row["name"], row["version"], row["shown"], row["guess"]
        except (ValueError, KeyError, TypeError):
            continue
        if of == version:
            shown[name] = shown.get(name, 0) + 1
            right[name] = right.get(name, 0) + (kind == guess)
    return {name: _row(right[name], shown[name]) for name in sorted(shown)}


def wilson_interval(right: int, shown: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927, "Probable inference, the law of succession", JASA 22, 209-212).

    >>> [round(limit, 4) for limit in wilson_interval(81, 263)]
    [0.2553, 0.3662]
    """
    p, z2 = right / shown, Z_95**2
    middle = (p + z2 / (2 * shown)) / (1 + z2 / shown)
    half = Z_95 / (1 + z2 / shown) * math.sqrt(p * (1 - p) / shown + z2 / (4 * shown**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _row(right: int, shown: int) -> dict[str, float]:
    lo, hi = wilson_interval(right, shown)
    return {"shown": shown, "right": right, "lo": lo, "hi": hi}


def _remember(store: OrderedDict, key: str, value: object) -> None:
    """Keeps it, and forgets what is oldest where there is too much."""
    store[key] = value
    if len(store) > _REMEMBERED:
        store.popitem(last=False)
