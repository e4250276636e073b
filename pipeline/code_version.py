"""A hash of the sources behind a node.

TFX's cache key sees a node's inputs and parameters, not the code behind its executor. Each node is therefore given a
hash of the modules of this project that its entry module imports, directly or not: an edit runs again the nodes that
use the edited file, and no others.
"""

import ast
import hashlib
import pkgutil
from functools import cache
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
PACKAGES = ("components", "metrics", "models", "pipeline", "serving")


def _file(module: str) -> Path | None:
    """Source file of one of this project's modules; None if there is none (a name in a module, or another package)."""
    if module.partition(".")[0] not in PACKAGES:
        return None
    base = HOME.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this project that a module imports, anywhere in its text.

    A package that lists its own modules, by `pkgutil.iter_modules(__path__)`, imports all of them.
    """
    path = _file(module)
    assert path is not None
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node) == "pkgutil.iter_modules(__path__)":
            found.update(f"{module}.{own.name}" for own in pkgutil.iter_modules([str(path.parent)]))
    return frozenset(name for name in found if _file(name))


def sources(*modules: str) -> list[Path]:
    """Source files that modules need, themselves among them, in order."""
    reached, open_ends = set(), [*modules]
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            open_ends.extend(_imports(name))
    return sorted(path for path in map(_file, reached) if path)


def code_version(*modules: str) -> str:
    """Hex digest (16 characters) over the sources that modules need, those of processes that a node starts among them.

    Raises:
      ModuleNotFoundError: if one is not a module of this project.
    """
    if unknown := [module for module in modules if _file(module) is None]:
        raise ModuleNotFoundError(f"no module `{unknown[0]}` in {', '.join(PACKAGES)}")
    digest = hashlib.sha256()
    for path in sources(*modules):
        digest.update(path.relative_to(HOME).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
