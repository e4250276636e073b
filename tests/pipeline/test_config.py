"""The configuration: what is read, what is refused, and where the message points."""

from pathlib import Path

import pytest

from pipeline import config_docs
from pipeline.config import ConfigError, load

HOME = Path(__file__).parent.parent.parent


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text)
        return path

    return write


def fault(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted((HOME / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid_and_survive_a_round_trip(path, tmp_path):
    config = load(path)
    assert config.name == path.stem
    copy = tmp_path / "copy.yaml"
    copy.write_text(config.as_yaml())
    assert load(copy) == config


def test_an_empty_file_is_all_defaults(write):
    config = load(write(""))
    assert config.data.source == "digits" and config.name == "experiment"


def test_an_override_wins_over_the_file_and_is_read_as_yaml(write):
    path = write("gan: {steps: 10, width: 8}\n")
    config = load(path, ["gan.steps=500", "data.long_tail={imbalance_ratio: 20}", "gate.rules=[fid <= 2]"])
    assert (config.gan.steps, config.gan.width) == (500, 8)
    assert config.data.long_tail.imbalance_ratio == 20
    assert config.gate.rules == ("fid <= 2",)


def test_one_number_is_a_square(write):
    assert load(write("data: {image_size: 32, channels: 3}")).data.image_size == (32, 32)


def test_an_unknown_key_names_file_line_key_and_the_nearest(write):
    path = write("gan:\n  steps: 5\n  widht: 3\n")
    message = fault(path)
    assert f"{path}:3: unknown key `gan.widht`; did you mean `gan.width`?" in message


def test_all_faults_are_told_at_once(write):
    message = fault(write("gan: {steps: 0}\ndata:\n  sorce: digits\n"))
    assert ":1: `gan.steps`" in message and ":3: unknown key `data.sorce`" in message


def test_a_fault_in_an_override_names_the_override(write):
    assert "--set gan.stepz=4: unknown key `gan.stepz`; did you mean `gan.steps`?" in fault(write(""), "gan.stepz=4")
    assert "--set data.source=image_folder: `data`: source `image_folder` needs `data.root`" in fault(
        write("data: {image_size: 8}"), "data.source=image_folder"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gan: [1, 2", "not YAML"),
        ("- a\n", "a configuration is a mapping of sections"),
        ("gan: {steps: many}", "`gan.steps`: Input should be a valid integer"),
        ("gan: {loss: hing}", "'relativistic' or 'acgan', not 'hing'"),
        (
            "gan: {terms: {r_1: {}}}",
            "`gan.terms.r1`? known here: class_balance, gradient_penalty, lecam, r1",
        ),
        ("gan: {terms: {r1: {gama: 1}}}", "did you mean `gan.terms.r1.gamma`? known here: gamma, every"),
        ("gan: {terms: {r1: 10}}", "`gan.terms.r1`: a section of keys (gamma, every), not 10"),
        ("gan: {terms: {lecam: {decay: 1}}}", "`gan.terms.lecam.decay`: Input should be less than 1, not 1"),
        ("rebalance: {strategy: {a: 0}}", "`rebalance.strategy.a`"),
        ("gate: {rules: [fidd <= 2]}", "unknown figure `fidd`; did you mean `fid`?"),
        ("gate: {rules: [fid = 2]}", "not of the form"),
        ("gate: {not_worse: {kid: -1}}", "margin of `kid` must be at least 0"),
        ("data: {image_size: 3}", "sides must be 4 to 512 pixels, not 3 x 3"),
        ("data: {group_by: '('}", "not a regular expression"),
        ("data: {source: tfds}", "source `tfds` needs `data.dataset`"),
        ("gan: {augment: {policy: classic, operations: {mirror: 1}}}", "unknown key `gan.augment.operations.mirror`"),
        ("gan: {augment: {policy: ada, operations: {saturation: 1}}}", "`gan.augment.operations`: `saturation`: grey"),
        (
            "gan: {loss: wasserstein, discriminator: {spectral_norm: false}}",
            "needs a discriminator that is held smooth",
        ),
        ("gan: {clip_weights: 0.1}", "`clip_weights` does nothing to kernels that are divided by their norm"),
        ("gan: {augment: {policy: ada}, loss: least_squares}", "`augment.policy: ada` reads overfitting from the sign"),
        ("gan: {ema_decay: .nan}", "`gan.ema_decay`: Input should be a finite number"),
        ("gan: {missing: mask}", "`gan.missing`: `mask` needs `data.missing_pixels`"),
        (
            "{gan: {missing: mask, augment: {policy: classic}}, data: {missing_pixels: 0}}",
            "`gan.augment.policy`: `classic` would move the missing",
        ),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(write, text, expected):
    assert expected in fault(write(text))


@pytest.mark.parametrize("text", ["on", "off", "auto"])
def test_what_yaml_takes_for_a_boolean_is_read_as_written(write, text):
    assert load(write(f"gan: {{jit: {text}}}")).gan.jit == text
    assert load(write(""), [f"gan.jit={text}"]).gan.jit == text


def test_a_missing_file_is_named(tmp_path):
    assert "no such configuration file" in fault(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["gan.steps", "=3", "gan.steps.deep=3"])
def test_an_override_that_is_none_is_refused(write, override):
    assert f"--set {override}" in fault(write("gan: {steps: 3}"), override)


def test_the_reference_page_is_current():
    assert (HOME / "docs" / "configuration.md").read_text() == config_docs.markdown(), (
        "run: python -m pipeline.config_docs > docs/configuration.md"
    )
