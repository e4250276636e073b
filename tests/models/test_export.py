"""What an export writes beside the graph: what the generator is, and what may be asked of it."""

import json
from pathlib import Path

import keras
import pytest

from models import export
from models.export import METADATA_FILE, export_generator
from models.signatures import Filter
from models.warmup import WARMUP_FILE


def metadata_of(path):
    return json.loads((Path(path) / METADATA_FILE).read_text())


def test_the_metadata_say_what_the_generator_is(exported):
    metadata = metadata_of(exported)
    assert metadata.pop("fingerprint") and metadata.pop("signatures")
    assert metadata == {
        "classes": list("0123456789"),
        "image_shape": [8, 8, 1],
        "latent_dim": 8,
        "filter": {"candidates": 3, "threshold": 0.0, "accuracy": 0.1},
        "data": "f" * 64,
        "training": {"steps": 7},
    }
    beside = {path.name for path in (Path(exported) / METADATA_FILE).parent.iterdir()}
    assert beside == {Path(METADATA_FILE).name, Path(WARMUP_FILE).name}


@pytest.mark.parametrize(
    ("signature", "good", "bad"),
    [
        ("serving_default", {"label": 9, "seed": -(2**63)}, {"label": 10, "seed": 0}),
        ("by_name", {"name": "9", "seed": 0}, {"name": "ten", "seed": 0}),
        ("truncated", {"label": 0, "seed": 0, "truncation": 2}, {"label": 0, "seed": 0, "truncation": 0}),
        ("array", {"label": 0, "seed": 0}, {"label": -1, "seed": 0}),
        ("latent", {"label": 0, "z": [0.5] * 8}, {"label": 0, "z": [0.5] * 9}),
        ("filtered", {"label": 0, "seed": 0}, {"label": 10, "seed": 0}),
    ],
)
def test_the_metadata_say_what_a_row_of_each_signature_may_be(exported, signature, good, bad):
    jsonschema = pytest.importorskip("jsonschema")
    inputs = metadata_of(exported)["signatures"][signature]
    schema = {"type": "object", "properties": inputs, "required": list(inputs), "additionalProperties": False}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


def test_without_a_filter_there_is_none_to_ask(make, network, digits, tmp_path):
    export_generator(network, str(tmp_path), make.info_of(digits.train), {"steps": 1})
    metadata = metadata_of(tmp_path)
    assert metadata["filter"] is None and "filtered" not in metadata["signatures"]


def test_a_fingerprint_is_of_all_that_answers_depend_on(make, network, image_filter, digits, tmp_path, monkeypatch):
    info = make.info_of(digits.train)
    other = keras.models.clone_model(network)
    other.set_weights([weight + 1e-6 for weight in network.get_weights()])
    helper = keras.models.clone_model(image_filter.helper)
    helper.set_weights([weight + 1e-6 for weight in image_filter.helper.get_weights()])

    def fingerprint(generator, info, chosen):
        export_generator(generator, str(tmp_path / "model"), info, {"steps": 1}, chosen)
        return metadata_of(tmp_path / "model")["fingerprint"]

    own = fingerprint(network, info, image_filter)
    assert fingerprint(network, info, image_filter) == own
    others = [
        fingerprint(other, info, image_filter),
        fingerprint(network, info.model_copy(update={"classes": tuple("abcdefghij")}), image_filter),
        fingerprint(network, info, None),
        fingerprint(network, info, Filter(helper, 3, 0.0, 0.1)),
        fingerprint(network, info, Filter(image_filter.helper, 4, 0.0, 0.1)),
        fingerprint(network, info, Filter(image_filter.helper, 3, 0.5, 0.1)),
    ]
    assert len({own, *others}) == 7
    assert fingerprint(network, info, Filter(image_filter.helper, 3, 0.0, 0.9)) == own
    monkeypatch.setattr(export, "MAX_TRUNCATION", 3.0)  # other signatures than before
    assert fingerprint(network, info, image_filter) != own
