"""An edit runs again the nodes that use the edited file, and no others."""

import shutil

import pytest

from pipeline import code_version

ENTRIES = {
    "ExampleGen": "components.example_gen.executor",
    "Rebalancer": "components.rebalancer.executor",
    "Judge": "models.judge",
    "GAN": "models.training",
    "Evaluator": "components.evaluator.executor",
    "ServingValidator": ("components.serving_validator.executor", "serving.__main__"),
}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The project's sources, copied to where a test may edit them."""
    for package in code_version.PACKAGES:
        if (code_version.HOME / package).is_dir():
            shutil.copytree(code_version.HOME / package, tmp_path / package)
    monkeypatch.setattr(code_version, "HOME", tmp_path)
    code_version._imports.cache_clear()
    yield tmp_path
    code_version._imports.cache_clear()


def versions():
    code_version._imports.cache_clear()
    modules = {node: (entry,) if isinstance(entry, str) else entry for node, entry in ENTRIES.items()}
    return {node: code_version.code_version(*names) for node, names in modules.items()}


@pytest.mark.parametrize(
    ("edited", "touched"),
    [
        ("pipeline/report.py", set()),
        ("models/gan.py", {"GAN"}),
        ("models/losses.py", {"GAN"}),
        ("models/networks/dcgan.py", {"GAN"}),
        ("models/terms/__init__.py", {"GAN"}),
        ("models/terms/r1.py", {"GAN"}),
        ("models/penalties.py", {"GAN"}),
        ("models/helper.py", {"GAN"}),
        ("models/signatures.py", {"GAN", "ServingValidator"}),
        ("models/warmup.py", {"GAN", "ServingValidator"}),
        ("models/generator.py", set()),  # only `tailgan sample` calls a generator in this process
        ("models/judge.py", {"Judge"}),
        ("metrics/kernel.py", {"Evaluator"}),
        ("components/rebalancer/strategies.py", {"Rebalancer"}),
        ("models/data.py", {"Judge", "GAN", "Evaluator", "ServingValidator"}),
        ("components/serving_validator/checks.py", {"ServingValidator"}),
        ("components/serving_validator/leash.py", {"ServingValidator"}),
        ("serving/rest.py", {"ServingValidator"}),
        ("components/examples.py", {"ExampleGen", "Rebalancer", "Evaluator"}),
        ("models/dataset.py", set(ENTRIES)),
    ],
)
def test_an_edit_touches_just_the_nodes_that_use_the_file(copied, edited, touched):
    before = versions()
    with (copied / edited).open("a") as file:
        file.write("\n# edited\n")
    after = versions()
    assert {node for node in ENTRIES if before[node] != after[node]} == touched


def test_a_new_term_touches_the_node_that_discovers_it(copied):
    before = versions()
    (copied / "models" / "alone.py").write_text("")
    (copied / "models" / "terms" / "another.py").write_text("from models import alone\n")
    after = versions()
    assert {node for node in ENTRIES if before[node] != after[node]} == {"GAN"}
    needed = {path.relative_to(copied).as_posix() for path in code_version.sources("models.training")}
    assert {"models/terms/another.py", "models/alone.py"} <= needed


def test_a_package_that_lists_nothing_needs_only_what_it_imports(copied):
    (copied / "models" / "networks" / "another.py").write_text("")
    assert copied / "models" / "networks" / "another.py" not in code_version.sources("models.training")


def test_an_unknown_module_is_refused():
    with pytest.raises(ModuleNotFoundError, match=r"components\.nothing"):
        code_version.code_version("components.nothing")
