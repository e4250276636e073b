"""Calling an exported generator: pixels, files, and what is no generator."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.export import METADATA_FILE
from models.generator import Generator
from models.signatures import SERVING_DEFAULT, GeneratorModule


def test_a_loaded_generator_knows_what_it_is(exported):
    generator = Generator(exported)
    assert generator.path == exported and generator.image_shape == (8, 8, 1)
    assert generator.classes == tuple("0123456789")
    assert json.loads((Path(exported) / METADATA_FILE).read_text())["fingerprint"] == generator.fingerprint


def test_generating_gives_the_pixels_of_the_pngs_over_several_batches(exported):
    generator = Generator(exported)
    labels, seeds = np.arange(10).repeat(2), np.arange(20)
    images = generator.generate(labels, seeds, batch_size=8)
    assert images.shape == (20, 8, 8, 1) and images.dtype == np.uint8
    pngs = generator.generate_png(labels, seeds, batch_size=8)
    assert [np.asarray(Image.open(io.BytesIO(png))).tolist() for png in pngs] == images[..., 0].tolist()
    assert generator.generate(labels[:0], seeds[:0]).shape == (0, 8, 8, 1)


def test_faults_of_a_question_are_told(exported):
    generator = Generator(exported)
    with pytest.raises(ValueError, match=r"unknown label 12: allowed 0\.\.9"):
        generator.generate(np.array([1, 12]), np.array([0, 0]))
    with pytest.raises(ValueError, match="2 labels, but 1 seeds"):
        generator.generate(np.array([1, 2]), np.array([0]))


def test_a_model_of_one_signature_as_earlier_versions_exported_it_is_loaded(exported, network, tmp_path):
    module = GeneratorModule(network, "0123456789")
    tf.saved_model.save(module, str(tmp_path), signatures={SERVING_DEFAULT: module.functions()[SERVING_DEFAULT]})
    metadata = {"classes": list("0123456789"), "image_shape": [8, 8, 1], "data": "f", "fingerprint": "a"}
    (tmp_path / METADATA_FILE).parent.mkdir()
    (tmp_path / METADATA_FILE).write_text(json.dumps(metadata))
    generator = Generator(str(tmp_path))
    assert generator.fingerprint == "a"
    labels, seeds = np.arange(10), np.arange(10)
    assert generator.generate_png(labels, seeds) == Generator(exported).generate_png(labels, seeds)


def test_what_is_no_generator_is_refused(exported, tmp_path):
    with pytest.raises(OSError, match="nothing"):
        Generator(str(tmp_path / "nothing"))
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures={"serving_default": module.f})
    with pytest.raises(ValueError, match="no signature `serving_default` from label and seed"):
        Generator(str(tmp_path / "foreign"))
    tf.saved_model.save(module, str(tmp_path / "bare"))
    with pytest.raises(ValueError, match="no signature `serving_default` from label and seed"):
        Generator(str(tmp_path / "bare"))
    shutil.copytree(exported, tmp_path / "unnamed")
    (tmp_path / "unnamed" / METADATA_FILE).unlink()
    with pytest.raises(ValueError, match="which names the classes"):
        Generator(str(tmp_path / "unnamed"))
