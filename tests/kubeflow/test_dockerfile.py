"""What the Dockerfile says; tests/e2e/test_image.py does it."""

import json
import re
from pathlib import Path

import pytest

from pipeline.kubeflow_options import KubeflowOptions
from tests.e2e.image import parse, sent

HOME = Path(__file__).resolve().parents[2]
DOCKERIGNORE = (HOME / ".dockerignore").read_text()
INSTRUCTIONS = parse((HOME / "kubeflow" / "Dockerfile").read_text())
LAST = INSTRUCTIONS[max(n for n, each in enumerate(INSTRUCTIONS) if each.name == "FROM") :]


def of(name):
    return [each for each in LAST if each.name == name]


def test_the_last_stage_builds_nothing():
    (base,) = of("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base.text) and len(LAST) < len(INSTRUCTIONS)
    assert not any(re.search(r"\b(pip|uv|apt|apt-get|gcc)\b", each.text) for each in of("RUN"))


def test_it_runs_the_program_as_somebody_who_is_not_root():
    # In numbers, or a cluster cannot see that it is not root.
    assert [each.text for each in of("USER")] == ["1000:1000"]
    assert [json.loads(each.text) for each in of("ENTRYPOINT")] == [["tailgan"]]


def test_the_graph_is_where_tasks_look_for_it_and_comes_last():
    copies = [each.text.split() for each in of("COPY")]
    assert copies == [
        ["/opt/venv", "/opt/venv"],
        ["/opt/tailgan/program", "/opt/tailgan/program"],
        ["$IR", f"{KubeflowOptions().ir_folder}/"],
    ]
    # What changes more often makes nothing anew that changes less often.
    names = [each.name for each in LAST]
    assert names.index("ARG") > names.index("COPY") + 1


@pytest.mark.parametrize(
    "path", ["requirements.txt", "pyproject.toml", "README.md", "digits.ir.json", "pipeline/templates",
             "metrics/frechet.py"]
)  # fmt: skip
def test_what_the_build_needs_is_sent(path):
    assert sent(path, DOCKERIGNORE)
    assert path == "digits.ir.json" or (HOME / path).exists()


@pytest.mark.parametrize(
    "path", [".git/HEAD", ".venv/bin/python", "tests/conftest.py", "runs/digits/root.json", "docs/data.md",
             "kubeflow/Dockerfile", "models/__pycache__/gan.pyc", "metrics/x/__pycache__/y.pyc", "pipeline.yaml"]
)  # fmt: skip
def test_what_is_no_part_of_the_program_is_not_sent(path):
    assert not sent(path, DOCKERIGNORE)


def test_every_package_of_the_project_is_sent():
    (packages,) = re.findall(
        r"include = \[(.*)\]\n\n\[tool.setuptools.package-data", (HOME / "pyproject.toml").read_text()
    )
    for name in re.findall(r'"(\w+)\*"', packages):
        assert sent(f"{name}/__init__.py", DOCKERIGNORE), name
