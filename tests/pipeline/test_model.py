"""`tailgan model`: what it shows is what the networks are."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import model
from pipeline.config import ConfigError, load

HOME = Path(__file__).parent.parent.parent


def tailgan(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "pipeline.cli", *args], capture_output=True, text=True, cwd=HOME)


@pytest.fixture
def config(tmp_path):
    def make(text: str = ""):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return load(path)

    return make


def test_the_command_counts_layers_and_classes_of_the_data_and_says_nothing_else():
    result = tailgan("model", "configs/digits.yaml", "--json", "--set", "gan.width=4")
    assert result.returncode == 0 and not result.stderr
    summary = json.loads(result.stdout)
    assert summary["classes"] == 10 and summary["image_shape"] == [8, 8, 1]
    for name in ("generator", "discriminator"):
        network = summary[name]
        assert network["parameters"] == sum(row["parameters"] for row in network["layers"]) > 0
    assert summary["step_bytes"] == summary["fixed_bytes"] + 64 * summary["bytes_per_image"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["configs/image_folder.yaml", "--set", "data.root=nowhere"], "nowhere: no such folder"),
        (["configs/digits.yaml", "--set", "gan.network=nope"], "`gan.network`: Input should be 'mlp'"),
        (["configs/digits.yaml", "--classes", "0"], "0 is not at least 1"),
    ],
)
def test_faults_are_one_sentence_and_exit_with_2(args, message):
    result = tailgan("model", *args)
    assert result.returncode == 2 and not result.stdout
    assert "Traceback" not in result.stderr
    assert message in result.stderr or "--classes N" in result.stderr


def test_without_images_the_number_of_classes_is_asked_for(config):
    missing = config("data: {source: image_folder, root: nowhere}")
    with pytest.raises(ConfigError, match=r"^line of data\.root: .*nowhere.*; .*: --classes N$"):
        model.number_of_classes(missing, lambda key: f"line of {key}")
    assert model.summarize(missing, 5).classes == 5


def test_operations_and_memory_of_an_mlp_are_those_counted_by_hand(config):
    options = """
gan:
  network: mlp
  width: 16
  depth: 1
  latent: {dim: 6}
  batch_size: 10
  discriminator: {spectral_norm: false, conditioning: none}
  generator_optimizer: {name: sgd}
"""
    summary = model.summarize(config(options), 2)
    of_g, of_d = (6 + 2) * 16 + 16 + 16 * 64 + 64, 64 * 16 + 16 + 16 + 1
    assert (summary.generator.parameters, summary.discriminator.parameters) == (of_g, of_d)
    # A product with a matrix takes two operations for each of its entries; the rest is small.
    for network, products in ((summary.generator, 8 * 16 + 16 * 64), (summary.discriminator, 64 * 16 + 16)):
        assert 2 * products <= network.flops <= 2 * products + 5 * (64 + 16 + 8)
    # Weights, gradients, the average; Adam's two moments, and a few counters.
    numbers = 3 * of_g + 4 * of_d
    assert 4 * numbers <= summary.fixed_bytes <= 4 * numbers + 64
    # One-hot code, joined code, and what dense layers and activations put out; the discriminator's for real and fake.
    numbers = (2 + 8 + 16 + 16 + 64 + 64) + 2 * (16 + 16 + 16 + 1 + 2 * 16)
    assert summary.bytes_per_image == 4 * numbers
    assert summary.step_bytes == summary.fixed_bytes + 10 * summary.bytes_per_image


def test_a_step_on_all_images_has_no_size_and_half_precision_halves_activations(config):
    whole = model.summarize(config("gan: {width: 4, batch_size: all}"), 3)
    assert whole.batch_size is None and whole.step_bytes is None
    half = model.summarize(config("gan: {width: 4, precision: mixed_bfloat16}"), 3)
    assert 0.5 * whole.bytes_per_image < half.bytes_per_image < 0.7 * whole.bytes_per_image
    assert half.generator.parameters == whole.generator.parameters


def test_tables_are_short(config, capsys):
    model.show(model.summarize(config("gan: {width: 4}"), 3))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dcgan, images 8 x 8 x 1, 3 classes"
    assert any("SpectralConv2D" in line and "4 x 4 x 8" in line for line in lines)
    assert max(map(len, lines)) <= 110 and len(lines) < 60
    assert doctest.testmod(model).failed == 0
