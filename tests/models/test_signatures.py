"""What a server is asked for, and what it answers: every signature of an exported generator."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

LATENT = 8
NAMES = ("serving_default", "by_name", "truncated", "array", "latent", "filtered")
FIRST, SECOND = (  # the two columns that are first found to differ in length
    {**dict.fromkeys(NAMES, "label"), "by_name": "name"},
    {**dict.fromkeys(NAMES, "seed"), "latent": "z"},
)


def z_of(seeds, candidate=0):
    """z [n, d] of seeds, as promised."""
    rows = [tf.random.stateless_normal([LATENT], [seed, candidate], alg="philox").numpy() for seed in seeds]
    return np.array(rows, np.float32).reshape(-1, LATENT)


def question(signature, labels, seeds):
    """Columns that ask a signature for the images of labels and seeds."""
    labels, seeds = np.array(labels, np.int64), np.array(seeds, np.int64)
    match signature:
        case "by_name":
            return {"name": np.array([b"%d" % label for label in labels], object), "seed": seeds}
        case "truncated":
            return {"label": labels, "seed": seeds, "truncation": np.ones(len(labels), np.float32)}
        case "latent":
            return {"label": labels, "z": z_of(seeds)}
    return {"label": labels, "seed": seeds}


def pixels_of(answer):
    """uint8 [n, H, W] of an answer whose rows are all well."""
    if "image" in answer:
        return np.round(255 * answer["image"][..., 0]).astype(np.uint8)
    return np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in answer["image_bytes"]])


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(exported)


@pytest.fixture(scope="module")
def ask(model):
    """Calls a signature with columns of NumPy's; an answer is such columns too."""

    def ask(signature, **columns):
        types = {name: spec.dtype for name, spec in model.signatures[signature].structured_input_signature[1].items()}
        tensors = {name: tf.constant(column, types[name]) for name, column in columns.items()}
        return {name: column.numpy() for name, column in model.signatures[signature](**tensors).items()}

    return ask


def test_the_signatures_are_what_servers_were_promised(model):
    int64, string, float32 = tf.int64, tf.string, tf.float32
    row, pngs = [None], {"image_bytes": (string, [None]), "status": (string, [None])}
    both = {"label": (int64, row), "seed": (int64, row)}
    promised = {
        "serving_default": (both, pngs),
        "by_name": ({"name": (string, row), "seed": (int64, row)}, pngs),
        "truncated": ({**both, "truncation": (float32, row)}, pngs),
        "array": (both, {"image": (float32, [None, 8, 8, 1]), "status": (string, row)}),
        "latent": ({"label": (int64, row), "z": (float32, [None, LATENT])}, pngs),
        "filtered": (both, {**pngs, "score": (float32, row), "tries": (int64, row)}),
    }

    def described(specs):
        return {name: (spec.dtype, spec.shape.as_list()) for name, spec in specs.items()}

    found = {
        name: (described(function.structured_input_signature[1]), described(function.structured_outputs))
        for name, function in model.signatures.items()
    }
    assert found == promised


def test_no_python_is_called_from_the_graph(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    content = (Path(exported) / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert "EncodePng" in ops and not {op for op in ops if "PyFunc" in op}


def test_images_are_pngs_of_the_networks_output(ask, network):
    answer = ask("serving_default", label=[4], seed=[11])
    assert answer["status"].tolist() == [b"ok"] and answer["image_bytes"][0].startswith(b"\x89PNG")
    image = network([tf.constant(z_of([11])), tf.constant([4], tf.int64)], training=False).numpy()[0, ..., 0]
    assert np.abs(pixels_of(answer)[0].astype(int) - np.round((image + 1) * 127.5)).max() <= 1


@pytest.mark.parametrize("signature", [name for name in NAMES if name != "filtered"])
@pytest.mark.parametrize("rows", [0, 1, 64])
def test_every_signature_shows_the_same_image_of_a_label_and_a_seed(ask, signature, rows):
    labels, seeds = np.arange(rows) % 10, np.arange(rows) * 7919
    plain = ask("serving_default", label=labels, seed=seeds)
    answer = ask(signature, **question(signature, labels, seeds))
    assert answer["status"].tolist() == [b"ok"] * rows
    if signature == "array":
        assert answer["image"].shape == (rows, 8, 8, 1) and answer["image"].dtype == np.float32
        assert rows == 0 or np.array_equal(pixels_of(answer), pixels_of(plain))
    else:
        assert answer["image_bytes"].tolist() == plain["image_bytes"].tolist()
    assert rows < 10 or len(np.unique(pixels_of(answer), axis=0)) == rows


@pytest.mark.parametrize("signature", NAMES)
@pytest.mark.parametrize("rows", [0, 1, 64])
def test_an_answer_has_a_row_for_each_row_of_the_question(ask, signature, rows):
    answer = ask(signature, **question(signature, np.arange(rows) % 10, np.arange(rows)))
    assert {len(column) for column in answer.values()} == {rows}


@pytest.mark.parametrize("signature", NAMES)
def test_a_row_depends_on_itself_alone(ask, signature):
    """On neither its place, nor its neighbours; on their number by one grey level at most."""
    labels, seeds = np.arange(40) % 10, np.arange(40) * 31
    columns = question(signature, labels, seeds)
    answer = ask(signature, **columns)
    order = np.random.default_rng(0).permutation(40)
    shuffled = ask(signature, **{name: column[order] for name, column in columns.items()})
    for name, column in answer.items():
        np.testing.assert_array_equal(column[order], shuffled[name])
    others = question(signature, (labels + 1) % 10, seeds + 1)
    for name, column in columns.items():
        others[name][7] = column[7]
    for name, column in ask(signature, **others).items():
        np.testing.assert_array_equal(column[7], answer[name][7])
    for row in np.flatnonzero(answer["status"] == b"ok")[:5]:
        alone = ask(signature, **{name: column[row : row + 1] for name, column in columns.items()})
        of_row = {name: column[row : row + 1] for name, column in answer.items()}
        assert np.abs(pixels_of(alone).astype(int) - pixels_of(of_row)).max() <= 1


@pytest.mark.parametrize("signature", NAMES)
def test_columns_of_unequal_length_are_refused_by_name(ask, signature):
    columns = question(signature, [1, 2], [3, 4])
    first, second = FIRST[signature], SECOND[signature]
    columns[second] = columns[second][:1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{first} and {second} differ in length"):
        ask(signature, **columns)


def test_a_third_column_of_another_length_is_refused_by_name(ask):
    with pytest.raises(tf.errors.InvalidArgumentError, match="label and truncation differ in length"):
        ask("truncated", label=[1, 2], seed=[3, 4], truncation=[1.0, 1.0, 1.0])


BAD_ROWS = [
    *[
        (signature, {"label": label}, f"unknown label {label}: allowed 0..9")
        for signature in NAMES
        if signature != "by_name"
        for label in (-1, 10, 2**40)
    ],
    ("by_name", {"name": b"ten"}, "unknown name ten: allowed 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ("by_name", {"name": b""}, "unknown name : allowed 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ("by_name", {"name": b"\xff\xfe"}, "unknown name \ufffd\ufffd: allowed 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ("by_name", {"name": b"n" * 10**6}, f"unknown name {'n' * 60}: allowed 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    *[
        ("truncated", {"truncation": value}, f"truncation {said}: allowed above 0, up to 2")
        for value, said in ((0, "0"), (-1, "-1"), (2.5, "2.5"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"))
    ],
    ("truncated", {"label": 10, "truncation": np.nan}, "unknown label 10: allowed 0..9"),
    *[("latent", {"z": np.full(LATENT, value)}, "z is not finite") for value in (np.nan, np.inf, -np.inf)],
    ("latent", {"z": np.full(LATENT, 3e38)}, "the image is not finite"),
    ("latent", {"z": np.eye(LATENT)[3] / [0, 1, 1, 1, 1, 1, 1, 1]}, "z is not finite"),
]


@pytest.mark.parametrize(("signature", "row", "reason"), BAD_ROWS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_row_that_is_wrong_spoils_only_itself_and_says_why(ask, signature, row, reason):
    columns = question(signature, [2, 5, 7], [1, 2, 3])
    good = ask(signature, **columns)
    for name, value in row.items():
        columns[name][1] = value
    answer = ask(signature, **columns)
    assert answer["status"][1].decode() == reason
    empty = {"image_bytes": b"", "score": 0, "tries": 0}
    for name in answer.keys() - {"status"}:
        np.testing.assert_array_equal(answer[name][1], empty.get(name, np.zeros((8, 8, 1))))
    for name, column in answer.items():
        np.testing.assert_array_equal(column[[0, 2]], good[name][[0, 2]])


def test_any_seed_is_answered(ask):
    assert ask("serving_default", label=[0, 0], seed=[-(2**63), 2**63 - 1])["status"].tolist() == [b"ok", b"ok"]


@pytest.mark.parametrize("truncation", [1e-6, 0.5, 2.0])
def test_a_truncation_is_what_z_is_multiplied_by(ask, truncation):
    labels, seeds = np.arange(10), np.arange(10)
    truncated = ask("truncated", label=labels, seed=seeds, truncation=np.full(10, truncation))
    scaled = ask("latent", label=labels, z=np.float32(truncation) * z_of(seeds))
    assert truncated["image_bytes"].tolist() == scaled["image_bytes"].tolist()
    assert truncated["image_bytes"].tolist() != ask("serving_default", label=labels, seed=seeds)["image_bytes"].tolist()


# What TensorFlow Serving does: a session of TensorFlow 1's, fed and fetched by the names that a signature gives.
AS_A_SERVER = """
import sys
import numpy as np, tensorflow as tf
path, out = sys.argv[1:]
labels, seeds, n = np.arange(10), np.arange(10) * 7919, 10
columns = {"label": labels, "seed": seeds, "name": [b"%d" % k for k in labels]}
columns |= {"truncation": np.ones(n), "z": np.ones((n, 8))}
answers = {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
    for name, signature in meta.signature_def.items():
        if name.startswith("__"):
            continue
        feed = {info.name: columns[key] for key, info in signature.inputs.items()}
        answer = session.run({key: info.name for key, info in signature.outputs.items()}, feed)
        answers |= {f"{name}/{key}": column for key, column in answer.items()}
assert not {"models", "pipeline", "components"} & {module.partition(".")[0] for module in sys.modules}
np.savez(out, **{key: np.array(column.tolist(), object) for key, column in answers.items()})
"""


def test_a_process_that_knows_only_tensorflow_gives_the_same_answers(exported, ask, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", AS_A_SERVER, exported, str(tmp_path / "answers.npz")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "answers.npz", allow_pickle=True) as answers:
        assert {key.partition("/")[0] for key in answers} == set(NAMES)
        for signature in NAMES:
            columns = question(signature, np.arange(10), np.arange(10) * 7919)
            if signature == "latent":
                columns["z"] = np.ones((10, LATENT), np.float32)
            for name, column in ask(signature, **columns).items():
                assert answers[f"{signature}/{name}"].tolist() == column.tolist(), (signature, name)
