"""The `>>>` examples in docstrings say what really comes out."""

import doctest
import importlib
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent
PACKAGES = ("components", "metrics", "models", "pipeline", "serving")


def modules_with_examples() -> list[str]:
    paths = [path for package in PACKAGES for path in sorted((HOME / package).rglob("*.py"))]
    return [".".join(p.relative_to(HOME).with_suffix("").parts) for p in paths if ">>> " in p.read_text()]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
