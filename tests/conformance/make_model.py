"""What the suite asks of a server: `python tests/conformance/make_model.py DIR` writes models and configuration there.

`DIR/gen` has versions 1 and 3, `DIR/broken` a version 1 and a directory 2 without a model. A server is started with
`--model_config_file=DIR/models.config --monitoring_config_file=DIR/monitoring.config
--allow_version_labels_for_unavailable_models=true --max_num_load_retries=0`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

CASTS = ("int8", "uint8", "int32", "uint32", "uint64", "uint16", "float16", "bfloat16", "float64", "bool")
CONFIG = """model_config_list {{
  config {{
    name: "gen" base_path: "{folder}/gen" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 3 }} }}
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 3 }}
  }}
  config {{
    name: "broken" base_path: "{folder}/broken" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
  }}
}}
"""


def signatures(module: tf.Module, version: int) -> dict[str, Callable]:
    """Functions that show the formats, types and errors of the protocol; most say what they were given."""
    module.scale = tf.Variable(float(version))

    def generate(label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = [
            tf.debugging.assert_equal(tf.shape(label), tf.shape(seed), "label and seed differ in length"),
            tf.debugging.assert_less(label, tf.constant(10, tf.int64), "label must be below 10"),
        ]
        with tf.control_dependencies(checks):  # else what fails first may be what they guard
            label, seed = tf.identity(label), tf.identity(seed)
        text = tf.strings.join([tf.strings.as_string(label), ":", tf.strings.as_string(seed)])
        return {"image_bytes": tf.strings.join([b"\x89PNG", text]), "label": label}

    def one(label: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "next": label + 1,
            "half": tf.cast(label, tf.float32) / 2,
            "negative": label < 0,
            "name": tf.strings.as_string(label),
        }

    integers, numbers, strings = ([None], tf.int64), ([None], tf.float32), ([None], tf.string)
    table: dict[str, tuple[Callable, dict[str, tuple]]] = {
        "serving_default": (generate, {"label": integers, "seed": integers}),
        "one": (one, {"label": integers}),
        "pixels": (
            lambda label, seed: {"x": module.scale * tf.cast(tf.stack([label, seed], 1), tf.float32)},
            {"label": integers, "seed": integers},
        ),
        "infinite": (lambda label: {"x": tf.cast(label, tf.float32) / 0.0}, {"label": integers}),
        "uneven": (lambda label: {"a": label, "b": tf.concat([label, label], 0)}, {"label": integers}),
        "total": (lambda label: {"sum": tf.reduce_sum(label)}, {"label": integers}),
        "scalar": (lambda n: {"sum": n + 1}, {"n": ([], tf.int64)}),
        "matrix": (lambda m: {"y": 2.0 * m}, {"m": ([None, 2], tf.float32)}),
        "echo": (lambda data: {"out": data}, {"data": strings}),
        "echo_both": (lambda data: {"out": data, "out_bytes": data}, {"data": strings}),
        "size": (lambda data_bytes: {"n": tf.strings.length(data_bytes)}, {"data_bytes": strings}),
        "floats": (lambda x, flag: {"y": tf.where(flag, x, -x)}, {"x": numbers, "flag": ([None], tf.bool)}),
        "doubles": (lambda x: {"y": x}, {"x": ([None], tf.float64)}),
        "narrow": (
            lambda i32, u8: {"i32": i32, "u8": u8},
            {"i32": ([None], tf.int32), "u8": ([None], tf.uint8)},
        ),
        "half": (lambda x: {"y": tf.cast(x, tf.float32)}, {"x": ([None], tf.float16)}),
    }
    for name in CASTS:
        dtype = tf.as_dtype(name)
        table[f"to_{name}"] = (lambda label, dtype=dtype: {"y": tf.cast(label, dtype)}, {"label": integers})
    return {
        name: tf.function(
            function, input_signature=[tf.TensorSpec(shape, dtype, key) for key, (shape, dtype) in inputs.items()]
        )
        for name, (function, inputs) in table.items()
    }


def make(folder: Path) -> None:
    """Writes everything."""
    for path, version in (("gen/1", 1), ("gen/3", 3), ("broken/1", 1)):
        module = tf.Module()
        tf.saved_model.save(module, str(folder / path), signatures=signatures(module, version))
    (folder / "broken" / "2").mkdir()
    (folder / "models.config").write_text(CONFIG.format(folder=folder))
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
