"""Generators with a fault are found out, and the fault is said."""

import contextlib
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from components.serving_validator import checks
from components.serving_validator.asking import Malformed, Signature
from components.serving_validator.calls import Grpc, Refused, Rest
from components.serving_validator.options import ValidationOptions
from models.export import METADATA_FILE
from models.signatures import GeneratorModule

CLASSES = ("fray", "free", "crack")
SHAPE = (8, 8, 1)


class Forgetful(GeneratorModule):
    def _z(self, seeds, turn=0):
        # Whatever seed Keras was given: this one has none.
        return tf.raw_ops.RandomStandardNormal(shape=[tf.shape(seeds)[0], self.latent_dim], dtype=tf.float32)


class Sociable(GeneratorModule):
    def _images(self, z, label, status):
        images = super()._images(z, label, status)
        return images - tf.reduce_mean(images, axis=0)


class Larger(GeneratorModule):
    def _images(self, z, label, status):
        return tf.pad(super()._images(z, label, status), [[0, 0], [0, 1], [0, 1], [0, 0]])


class Strict(GeneratorModule):
    def _known(self, label):
        known = tf.debugging.assert_less(label, tf.constant(3, tf.int64), "I do not know this label")
        with tf.control_dependencies([known]):
            return super()._known(tf.identity(label))


class Guessing(GeneratorModule):
    def _known(self, label):
        return tf.ones_like(label, bool), ""


class Vague(GeneratorModule):
    def _known(self, label):
        known, _ = super()._known(label)
        return known, "sorry"


class Generous(GeneratorModule):
    def _answer(self, z, label, status):
        answer = super()._answer(z, label, status)
        return {**answer, "image_bytes": tf.where(status == "ok", answer["image_bytes"], "an image all the same")}


class Textual(GeneratorModule):
    def _answer(self, z, label, status):
        return {"image_bytes": tf.where(status == "ok", "image", ""), "status": status}


class Faint(GeneratorModule):
    def _array(self, label, seed):
        answer = super()._array(label, seed)
        return {**answer, "image": answer["image"] * 0.9}


class Centred(GeneratorModule):
    def _array(self, label, seed):
        answer = super()._array(label, seed)
        return {
            **answer,
            "image": tf.where((answer["status"] == "ok")[:, None, None, None], answer["image"] * 2 - 1, 0.0),
        }


class Partial(GeneratorModule):
    def functions(self):
        return {name: function for name, function in super().functions().items() if name != "latent"}


EVERYWHERE = {"serving_default", "by_name", "truncated", "array", "latent"}
AT_ODDS = "rows that differ between gRPC and REST"
# {fault: [(check that must not pass, its signatures, what it says)]}, and no other may fail.
FAULTS = {
    Forgetful: [
        ("rows that differ when asked again", EVERYWHERE - {"latent"}, "64 of 64 rows"),
        (AT_ODDS, EVERYWHERE - {"latent"}, "64 of 64 rows"),
        ("change of a row that is asked alone", EVERYWHERE - {"latent"}, r"[\d.]+ grey levels"),
        ("difference from the PNG file", {"array"}, r"[\d.]+ grey levels"),
    ],
    Sociable: [("change of a row that is asked alone", EVERYWHERE, r"[\d.]+ grey levels")],
    Larger: [
        ("faulty rows", EVERYWHERE, r"row 0: an (image of uint8|array) \[9, 9, 1\], not (uint8 )?\[8, 8, 1\]"),
        ("faulty rows beside a bad one", EVERYWHERE, "row 0: an .*"),
        ("change of a row that is asked alone", EVERYWHERE, "row 0: an .*"),
        ("difference from the PNG file", {"array"}, "row 0: an .*"),
    ],
    Strict: [("faulty rows beside a bad one", EVERYWHERE - {"by_name"}, ".*I do not know this label.*")],
    Guessing: [
        (
            "faulty rows beside a bad one",
            EVERYWHERE - {"by_name"},
            "row 2: the status is `ok`, not `unknown label 3: allowed 0..2`",
        )
    ],
    Vague: [("faulty rows beside a bad one", EVERYWHERE - {"by_name"}, "row 2: the status is `sorry`, not `unknown.*")],
    Generous: [
        (
            "faulty rows beside a bad one",
            EVERYWHERE - {"array"},
            "row 2: there is an image, although the status is `unknown .*",
        )
    ],
    Textual: [
        ("faulty rows", EVERYWHERE - {"array"}, "row 0: no PNG file that can be read: .*"),
        ("faulty rows beside a bad one", EVERYWHERE - {"array"}, "row 0: no PNG file.*"),
        ("change of a row that is asked alone", EVERYWHERE - {"array"}, "row 0: no PNG file.*"),
        ("difference from the PNG file", {"array"}, "row 0: no PNG file.*"),
    ],
    Faint: [("difference from the PNG file", {"array"}, r"2\d\.\d+ grey levels")],
    Centred: [
        ("faulty rows", {"array"}, "row 0: values from -.* to .*, not from 0 to 1"),
        ("faulty rows beside a bad one", {"array"}, "row 0: values from .*"),
        ("change of a row that is asked alone", {"array"}, "row 0: values from .*"),
        ("difference from the PNG file", {"array"}, "row 0: values from .*"),
    ],
    Partial: [
        ("signatures other than promised", {""}, "not there, or with other inputs: latent"),
        ("faulty rows", {"latent"}, '.*"latent".*'),
        ("faulty rows beside a bad one", {"latent"}, '.*"latent".*'),
        ("rows that differ when asked again", {"latent"}, '.*"latent".*'),
        (AT_ODDS, {"latent"}, '.*"latent".*'),
        ("change of a row that is asked alone", {"latent"}, '.*"latent".*'),
    ],
}


@pytest.fixture(scope="module")
def broken(network, tmp_path_factory, start_server_once):
    """A server with all of them."""
    base, entries = tmp_path_factory.mktemp("broken"), []
    for fault in FAULTS:
        module, path = fault(network, CLASSES), base / fault.__name__
        tf.saved_model.save(module, str(path / "1"), signatures=module.functions())
        entries.append(f'config {{ name: "{fault.__name__}" base_path: "{path}" model_platform: "tensorflow" }}')
    config = base / "models.config"
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    started = start_server_once(f"--model_config_file={config}")
    for fault in FAULTS:
        started.wait_for(fault.__name__)
    return started


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_and_said(fault, good, broken):
    metadata = json.loads((good / METADATA_FILE).read_text())
    metadata["signatures"].pop("filtered")
    with (
        contextlib.closing(Grpc(broken.grpc, fault.__name__, 120)) as grpc,
        contextlib.closing(Rest(broken.rest, fault.__name__, 120)) as rest,
    ):
        found = [checks.of_signatures(grpc, metadata), checks.of_array(metadata, grpc)]
        for name in metadata["signatures"]:
            found += checks.of_signature(Signature(name, metadata), grpc, rest)
    failed = {(check.name, check.where.partition(",")[0]): check.reason for check in found if check.reason}
    expected = {(name, where): reason for name, signatures, reason in FAULTS[fault] for where in signatures}
    assert failed.keys() == expected.keys()
    for key, reason in failed.items():
        assert re.fullmatch(expected[key], reason, re.DOTALL), (key, reason)


def test_memory_that_cannot_be_read_passes_only_where_there_is_no_limit():
    assert "cannot be read" in checks.of_memory(None, ValidationOptions()).reason
    assert checks.of_memory(None, ValidationOptions(max_memory_mb=None)).reason == ""


def test_a_filter_that_passes_nothing_is_no_fault_of_the_server():
    metadata = {"classes": ["a"], "image_shape": SHAPE, "latent_dim": 2, "signatures": {"filtered": {"label": {}}}}
    answer = {
        "image_bytes": np.array([b""], object),
        "status": np.array([b"none of 8 images passed the filter"], object),
    }
    assert Signature("filtered", metadata).read(answer, ["ok"]).faults == []
    assert Signature("serving_default", metadata).read(answer, ["ok"]).faults


def test_answers_with_outputs_or_rows_missing_are_malformed():
    metadata = {"classes": ["a"], "image_shape": SHAPE, "latent_dim": 2, "signatures": {}}
    signature, status = Signature("serving_default", metadata), np.array([b"ok", b"ok"], object)
    with pytest.raises(Malformed, match="no output image_bytes; there are status"):
        signature.read({"status": status}, ["ok"] * 2)
    with pytest.raises(Malformed, match=r"3 rows were asked for, and the answer has image_bytes \[2\], status \[2\]"):
        signature.read({"image_bytes": status, "status": status}, ["ok"] * 3)


def test_a_class_may_be_called_no_such_class():
    metadata = {
        "classes": ["no such class"],
        "image_shape": SHAPE,
        "latent_dim": 2,
        "signatures": {"by_name": {"name": {}}},
    }
    signature = Signature("by_name", metadata)
    assert signature.question(np.array([0, 1]))["name"].tolist() == [b"no such class", b"no such class!"]
    assert signature.unknown() == "unknown name no such class!: allowed "


def test_arrays_of_large_images_are_asked_for_in_smaller_requests():
    metadata = {"classes": ["a"], "image_shape": (512, 512, 3), "latent_dim": 2, "signatures": {}}
    assert Signature("array", metadata).rows == 1 and Signature("serving_default", metadata).rows == 64


def test_a_refusal_by_either_interface_has_the_servers_words(broken):
    for interface, words in (
        (Grpc(broken.grpc, "Partial", 60), "NOT_FOUND|FAILED_PRECONDITION"),
        (Rest(broken.rest, "Partial", 60), "400"),
    ):
        with contextlib.closing(interface), pytest.raises(Refused, match=rf'({words}).*"latent"'):
            interface.predict("latent", {"label": np.array([0])})
