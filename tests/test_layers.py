"""Arrows between the folders point down only, and what should be light to import is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent
# What the modules of each package may import of this project.
MAY_IMPORT = {
    "metrics": {"metrics"},
    "models": {"models"},
    "serving": {"serving"},
    "components": {"components", "models", "metrics"},
    "pipeline": {"pipeline", "components", "models", "metrics", "serving"},
}


def files(package: str) -> list[Path]:
    return sorted((HOME / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere in its text, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it points"
            found.add(str(node.module).partition(".")[0])
    return found


def loaded_after_importing(modules: list[str]) -> set[str]:
    """Top-level packages in a fresh interpreter that has imported `modules`."""
    program = f"import sys, importlib\nfor m in {modules}: importlib.import_module(m)\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package):
    others = MAY_IMPORT.keys() - MAY_IMPORT[package]
    wrong = {module_name(path): sorted(imported_packages(path) & others) for path in files(package)}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_metrics_need_neither_tensorflow_nor_anything_else_heavy():
    modules = [module_name(path) for path in files("metrics")]
    assert len(modules) > 1
    heavy = {"tensorflow", "keras", "tfx", "apache_beam", "torch", "sklearn", "pandas"}
    assert loaded_after_importing(modules) & heavy == set()


def test_models_need_neither_tfx_nor_beam():
    modules = [module_name(path) for path in files("models")]
    assert len(modules) > 1
    loaded = loaded_after_importing(modules)
    assert "tensorflow" in loaded
    assert loaded & {"tfx", "apache_beam", "ml_metadata"} == set()


def test_serving_needs_neither_tfx_nor_beam():
    modules = [module_name(path) for path in files("serving") if path.name != "__main__.py"]
    assert len(modules) > 1
    loaded = loaded_after_importing(modules)
    assert "tensorflow" in loaded
    assert loaded & {"tfx", "apache_beam", "ml_metadata", "pydantic"} == set()


def test_flags_files_and_ports_are_checked_before_tensorflow_is_loaded():
    loaded = loaded_after_importing(["serving.server", "pipeline.serve"])
    assert loaded & {"tensorflow", "grpc", "uvicorn", "starlette"} == set()
