"""Spans: a folder of images that grows by numbered folders, `incoming/{SPAN}/class/*`; the word is TFX's own."""

import os
import re
from dataclasses import dataclass

from components.example_gen.options import SPAN
from models.errors import UserError


@dataclass(frozen=True)
class Span:
    """One of them: its number, and the path of its folder below the folder of all."""

    number: int
    path: str


@dataclass(frozen=True)
class Spans:
    """The spans of a root.

    Attributes:
      base: the folder that all lie in.
      found: those that are read, by number; never empty.
      ignored: names beside them that have no number where it should be.
    """

    base: str
    found: tuple[Span, ...]
    ignored: tuple[str, ...]


def find(root: str, newest: int | None, at_most: int | None = None) -> Spans | None:
    """The spans that a root with `{SPAN}` in it stands for; None for one without.

    A number is of decimal digits, with or without zeros in front. A name without one where `{SPAN}` stands is passed
    over, so that a folder may be filled under another name and then renamed.

    Args:
      root: `{SPAN}` is a part of one component of the path, or all of it.
      newest: how many to take, those of the highest numbers; all if None.
      at_most: the highest number to take, if there is one.

    Raises:
      UserError: if the folder of all cannot be listed, there is no span, or two have one number.
    """
    if SPAN not in root:
        return None
    before, after = root.split(SPAN)
    base, prefix = os.path.split(before)
    base = base or "."
    suffix, _, rest = after.partition("/")
    pattern = re.compile(re.escape(prefix) + r"([0-9]+)" + re.escape(suffix))
    try:
        names = sorted(entry.name for entry in os.scandir(base) if entry.is_dir())
    except OSError as error:
        raise UserError(f"{base} cannot be listed: {error.strerror}", key="data.root") from error
    numbered = {name: int(match[1]) for name in names if (match := pattern.fullmatch(name))}
    seen: dict[int, str] = {}
    for name, number in numbered.items():
        if (other := seen.setdefault(number, name)) != name:
            raise UserError(f"{other} and {name} in {base} are both span {number}", key="data.root")
    found = [Span(n, os.path.join(seen[n], rest) if rest else seen[n]) for n in sorted(seen)]
    found = [span for span in found if at_most is None or span.number <= at_most]
    if not found:
        raise UserError(f"there is no span in {base}: no folder {prefix}{SPAN}{suffix} with a number", key="data.root")
    ignored = tuple(name for name in names if name not in numbered and not name.startswith("."))
    return Spans(base, tuple(found[-newest:] if newest else found), ignored)
