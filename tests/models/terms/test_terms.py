"""Terms as a whole: what a configuration may name, and that adding one is one file."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.build import build_gan
from models.options import GANOptions
from models.terms import NAMES, TermsOptions, build_terms

HOME = Path(__file__).resolve().parents[3]
PACKAGES = ("components", "metrics", "models", "pipeline")

NEW_TERM = '''
"""Drift (Karras et al. 2018): logits of real images stay near 0."""

from pydantic import BaseModel, ConfigDict, Field

from models.terms import Setting, Term


class Options(BaseModel):
    """Holds the logits of real images near 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(0.001, gt=0, description="Times the mean square.")


def build(options: Options, setting: Setting) -> Term:
    """discriminator: weight E D(x)^2."""
    from models.losses import weighted_mean

    return Term(lambda real, fake, context: options.weight * weighted_mean(real.outputs["logit"] ** 2, real.weights))
'''

# Of a fresh interpreter, in which the new file is found when `models.terms` is imported.
PROGRAM = """
import sys
from pathlib import Path
from pipeline.config import ConfigError, load
from pipeline.config_docs import markdown

def write(text):
    path = Path("x.yaml")
    path.write_text(text)
    return path

def fault(text):
    try:
        load(write(text))
    except ConfigError as error:
        return str(error)

said = fault("gan:\\n  terms:\\n    drifd: {}")
assert "x.yaml:3: unknown key `gan.terms.drifd`; did you mean `gan.terms.drift`?" in said, said
said = fault("gan:\\n  terms:\\n    drift: {wait: 1}")
assert "x.yaml:3: unknown key `gan.terms.drift.wait`; did you mean `gan.terms.drift.weight`?" in said, said
assert "`gan.terms.drift.weight`: Input should be greater than 0" in fault("gan:\\n  terms:\\n    drift: {weight: 0}")
assert "| `terms.drift.weight` | number > 0 | `0.001` | Times the mean square. |" in markdown()
options = load(write("gan: {steps: 2, width: 4, batch_size: 4, terms: {drift: {}}}")).gan
assert options.terms.drift.weight == 0.001
assert "tensorflow" not in sys.modules

import numpy as np
from models.build import build_gan
from models.data import Examples

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
examples = Examples(images, np.arange(8) % 2, np.ones(8, np.float32), np.array([b""] * 8))
gan = build_gan(options, examples, "ab", {}, 0)
history = gan.fit(examples.batches(4, 0), steps_per_epoch=2, shuffle=False, verbose=0).history
assert history["d_drift"][0] > 0, history
print("TRAINED")
"""


@pytest.mark.e2e
def test_a_new_file_is_a_new_term_that_is_configured_documented_and_trained(tmp_path):
    for package in PACKAGES:
        shutil.copytree(HOME / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "terms" / "drift.py").write_text(NEW_TERM)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TRAINED" in done.stdout, done.stderr


def test_a_term_that_is_named_takes_part_and_one_that_is_null_does_not(step):
    options = TermsOptions.model_validate({"r1": {}, "gradient_penalty": {"weight": 5}, "lecam": None})
    terms = build_terms(options, step.setting())
    assert list(terms) == ["gradient_penalty", "r1"]
    assert build_terms(TermsOptions(), step.setting()) == {}


def test_terms_train_together_lazy_ones_too_and_their_state_is_part_of_the_checkpoint(digits):
    terms = {"gradient_penalty": {"every": 2}, "r1": {"every": 3}, "lecam": {"start_step": 0}}
    options = GANOptions(steps=4, width=4, batch_size=8, discriminator_steps=2, loss="relativistic", terms=terms)
    gan = build_gan(options, digits.train, "0123456789", {}, 0)
    batches = digits.train.batches(16, 0)
    history = gan.fit(batches, steps_per_epoch=4, shuffle=False, verbose=0).history
    assert all(np.isfinite(history[f"d_{name}"][0]) and history[f"d_{name}"][0] > 0 for name in terms)
    assert {id(variable) for variable in gan.terms["lecam"].variables} <= {id(variable) for variable in gan.state()}


@pytest.mark.parametrize("name", NAMES)
def test_each_term_has_defaults_a_description_and_no_other_keys(name):
    options = getattr(TermsOptions.model_validate({name: {}}), name)
    assert options.__doc__ and all(field.description for field in type(options).model_fields.values())
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TermsOptions.model_validate({name: {"nothing": 1}})
