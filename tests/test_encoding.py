"""Text files are UTF-8 wherever they are read and written, whatever the locale."""

import ast
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
SOURCES = sorted(
    path for room in ("components", "metrics", "models", "pipeline") for path in (HOME / room).rglob("*.py")
)


def _mode(call: ast.Call, position: int) -> str:
    """Mode of a call of `open`."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] or call.args[position : position + 1]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r"


def without_encoding(source: str) -> list[str]:
    """Calls in a source that read or write text in the encoding of the locale."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Attribute(attr="read_text" | "write_text"):
                is_text = True
            case ast.Attribute(value=ast.Name(id="os" | "Image"), attr="open"):
                is_text = False
            case ast.Attribute(attr="open"):
                is_text = "b" not in _mode(call, 0)
            case ast.Name(id="open"):
                is_text = "b" not in _mode(call, 1)
            case _:
                is_text = False
        if is_text and not any(keyword.arg == "encoding" for keyword in call.keywords):
            found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOME)))
def test_every_text_file_has_its_encoding_named(path):
    assert not without_encoding(path.read_text(encoding="utf-8"))


def test_the_calls_are_found():
    source = (
        'open("x")\nopen("x", "rb")\npath.open("a")\npath.open(mode="wb")\npath.read_text()\nopen("x", encoding="a")'
    )
    assert [line.partition(":")[0] for line in without_encoding(source)] == ["line 1", "line 3", "line 5"]
