"""A generator's exported signature, and calling it."""

import io
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.export import METADATA_FILE, Generator, export_generator
from models.networks import build_networks
from models.options import GANOptions


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    generator, _ = build_networks(GANOptions(width=8, latent={"dim": 8}), (8, 8, 1), classes=10)
    # As training leaves them, so that labels differ.
    random = np.random.default_rng(0)
    for variable in generator.trainable_variables:
        variable.assign(variable + 0.5 * random.normal(size=variable.shape))
    return generator


@pytest.fixture(scope="module")
def path(make, network, digits, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("export") / "model")
    export_generator(network, path, make.info_of(digits.train))
    return path


@pytest.fixture(scope="module")
def signature(path):
    model = tf.saved_model.load(path)

    def call(labels, seeds):
        function = model.signatures["serving_default"]
        answer = function(label=tf.constant(labels, tf.int64), seed=tf.constant(seeds, tf.int64))
        return answer["image_bytes"].numpy().tolist(), answer["status"].numpy().tolist()

    return call


def test_the_graph_alone_serves(path, signature):
    # TensorFlow Serving restores and runs the graph; of the objects that `tf.saved_model.load` makes it knows nothing.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
        inputs, outputs = (getattr(graph.signature_def["serving_default"], side) for side in ("inputs", "outputs"))
        png = session.run(outputs["image_bytes"].name, {inputs["label"].name: [3, 9], inputs["seed"].name: [5, -5]})
    assert png.tolist() == signature([3, 9], [5, -5])[0]


def test_the_signature_is_what_servers_were_promised(path):
    signature = tf.saved_model.load(path).signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    assert {name: (spec.dtype, spec.shape.rank) for name, spec in inputs.items()} == {
        "label": (tf.int64, 1), "seed": (tf.int64, 1)
    }  # fmt: skip
    outputs = signature.structured_outputs
    assert {name: (spec.dtype, spec.shape.rank) for name, spec in outputs.items()} == {
        "image_bytes": (tf.string, 1), "status": (tf.string, 1)
    }  # fmt: skip


def test_no_python_is_called_from_the_graph(path):
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString((Path(path) / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert "EncodePng" in ops and not {op for op in ops if "PyFunc" in op}


def test_images_are_pngs_of_the_networks_output(signature, network):
    (png,), status = signature([4], [11])
    assert status == [b"ok"] and png.startswith(b"\x89PNG")
    z = tf.random.stateless_normal((1, 8), (11, 0), alg="philox")
    image = network([z, tf.constant([4], tf.int64)], training=False).numpy()[0, ..., 0]
    shown = np.asarray(Image.open(io.BytesIO(png)), np.int16)
    assert np.abs(shown - np.round((image + 1) * 127.5)).max() <= 1


def test_equal_questions_have_equal_bytes_and_others_do_not(signature):
    images, _ = signature([1, 1, 2, 1], [5, 5, 5, 6])
    assert images[0] == images[1] and len(set(images)) == 3
    assert signature([1, 1, 2, 1], [5, 5, 5, 6])[0] == images


def test_a_row_depends_on_itself_alone(signature):
    labels, seeds = [3, 1, 4, 1], [10, 20, 30, 40]
    images, _ = signature(labels, seeds)
    for row in range(4):
        others = [(9 - label, seed + 7) for label, seed in zip(labels, seeds, strict=True)]
        others[row] = labels[row], seeds[row]
        assert signature(*zip(*others, strict=True))[0][row] == images[row]


@pytest.mark.parametrize("label", [-1, 10, 2**40])
def test_an_unknown_label_spoils_only_its_own_row(signature, label):
    images, status = signature([2, label, 7], [1, 2, 3])
    assert status == [b"ok", f"unknown label {label}: allowed 0..9".encode(), b"ok"]
    assert images[1] == b"" and [images[0], images[2]] == [signature([2, 0, 7], [1, 2, 3])[0][i] for i in (0, 2)]


def test_any_seed_and_an_empty_question_are_answered(signature):
    assert signature([0, 0], [-(2**63), 2**63 - 1])[1] == [b"ok", b"ok"]
    assert signature([], []) == ([], [])


def test_columns_of_unequal_length_are_refused(signature):
    with pytest.raises(tf.errors.InvalidArgumentError, match="label and seed differ in length"):
        signature([1, 2], [1])


def test_a_loaded_generator_knows_what_it_is(path, digits):
    generator = Generator(path)
    assert generator.path == path and generator.classes == tuple("0123456789") and generator.image_shape == (8, 8, 1)
    metadata = json.loads((Path(path) / METADATA_FILE).read_text())
    assert metadata["fingerprint"] == generator.fingerprint and metadata["data"] == "f" * 64
    assert [p.name for p in (Path(path) / METADATA_FILE).parent.iterdir()] == ["tailgan.json"]


def test_generating_gives_the_pixels_of_the_pngs_over_several_batches(path):
    generator = Generator(path)
    labels, seeds = np.arange(10).repeat(2), np.arange(20)
    images = generator.generate(labels, seeds, batch_size=8)
    assert images.shape == (20, 8, 8, 1) and images.dtype == np.uint8
    pngs = generator.generate_png(labels, seeds, batch_size=8)
    assert [np.asarray(Image.open(io.BytesIO(png))).tolist() for png in pngs] == images[..., 0].tolist()
    assert generator.generate(labels[:0], seeds[:0]).shape == (0, 8, 8, 1)


def test_faults_of_a_question_are_told(path):
    generator = Generator(path)
    with pytest.raises(ValueError, match=r"unknown label 12: allowed 0\.\.9"):
        generator.generate(np.array([1, 12]), np.array([0, 0]))
    with pytest.raises(ValueError, match="2 labels, but 1 seeds"):
        generator.generate(np.array([1, 2]), np.array([0]))


def test_a_fingerprint_is_that_of_weights_and_classes(make, path, network, digits, tmp_path):
    info = make.info_of(digits.train)
    own = Generator(path).fingerprint
    export_generator(network, str(tmp_path / "same"), info)
    export_generator(network, str(tmp_path / "named"), info.model_copy(update={"classes": tuple("abcdefghij")}))
    other = keras.models.clone_model(network)
    other.set_weights([weight + 1e-6 for weight in network.get_weights()])
    export_generator(other, str(tmp_path / "weights"), info)
    assert Generator(str(tmp_path / "same")).fingerprint == own
    assert len({own, *(Generator(str(tmp_path / name)).fingerprint for name in ("named", "weights"))}) == 3


def test_what_is_no_generator_is_refused(path, tmp_path):
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
    shutil.copytree(path, tmp_path / "unnamed")
    (tmp_path / "unnamed" / METADATA_FILE).unlink()
    with pytest.raises(ValueError, match="which names the classes"):
        Generator(str(tmp_path / "unnamed"))
