"""The Evaluator's executor and driver on real digits, with judges and generators as they are exported."""

import dataclasses
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.evaluator import judging
from components.evaluator.component import Driver
from components.evaluator.executor import Executor
from components.evaluator.options import GateOptions
from components.evaluator.served import Served
from models.errors import UserError

CLASSES = tuple(map(str, range(10)))
OPTIONS = GateOptions(samples_per_class=20, resamples=100)
HELD = OPTIONS.model_copy(update={"rules": ("fid >= 0",)})


def artifact(kind, uri, id=7):
    made = kind()
    made.uri, made.id = str(uri), id
    Path(uri).mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory, exports):
    """Exports a generator that draws from a table, into a Model artifact's folder."""
    folder = tmp_path_factory.mktemp("models")

    def make(name, images, classes=CLASSES):
        if not (folder / name).exists():
            (folder / name).mkdir()
            exports.table(folder / name / "Format-Serving", images, classes)
        return folder / name

    return make


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """Runs the executor: (document, folder of the evaluation, blessing)."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "judge").mkdir()
    shutil.copytree(digits.judge, cache / "judge" / "Format-Serving")

    def make(model, served=None, best=None, options=OPTIONS, cache=cache, beam=("--runner=DirectRunner",)):
        out = tmp_path_factory.mktemp("run")
        evaluation = artifact(standard_artifacts.ModelEvaluation, out / "evaluation")
        blessing = artifact(standard_artifacts.ModelBlessing, out / "blessing")
        (out / "evaluation" / ".tmp-looking").mkdir()  # as a killed task leaves it
        (out / "evaluation" / ".tmp-looking" / "candidate-000000.fault").write_text("of before")
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=list(beam), tmp_dir=str(out / "tmp"), unique_id="1"
        )
        Executor(context).Do(
            {
                "examples": [artifact(standard_artifacts.Examples, digits.examples)],
                "model": [artifact(standard_artifacts.Model, model)],
                "judge": [artifact(standard_artifacts.Model, make.judge)],
            },
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "options": options.model_dump_json(), "cache_dir": str(cache), "looking_version": "v",
                "served": json.dumps(asdict(served)) if served else "",
                "best": json.dumps(asdict(best)) if best else "",
            },
        )  # fmt: skip
        make.artifacts[out / "evaluation"] = evaluation
        return json.loads((out / "evaluation" / "evaluation.json").read_text()), out / "evaluation", blessing

    make.judge, make.cache, make.artifacts = cache / "judge", cache, {}
    return make


@pytest.fixture(scope="module")
def unseen(model, digit_parts):
    return model("unseen", digit_parts["unseen"])


@pytest.fixture(scope="module")
def done(run, unseen):
    return run(unseen)


def served(path, version=5):
    about = json.loads((path / "Format-Serving" / "assets.extra" / "tailgan.json").read_text())
    return Served(version, str(path / "Format-Serving"), about["fingerprint"], "files")


def test_the_document_says_whose_figures_they_are(done, digits):
    document, folder, _ = done
    assert {"verdict", "reasons", "rules", "per_class", "groups", "memorization", "null"} <= document.keys()
    assert document["judge"].keys() == {"accuracy", "eval_images", "fingerprint"}
    assert document["judge"]["eval_images"] == 580 and document["judge"]["accuracy"] > 0.5
    assert document["features"].keys() == {"name", "fingerprint", "dimensions", "accuracy"}
    assert document["features"]["name"] == "judge" and document["features"]["dimensions"] == 64
    assert document["features"]["accuracy"] > 0.5 and document["data"] == str(digits.examples)
    assert {row["generated"] for row in document["per_class"].values()} == {58}  # as many as are held out
    assert document["served_version"] is None and document["best_version"] is None and document["warnings"] == []
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "samples.npz"}


def test_verdict_and_figures_are_told_to_the_metadata_store(done, run):
    document, folder, _ = done
    artifact = run.artifacts[folder]
    assert artifact.get_string_custom_property("verdict") == document["verdict"]
    for figure in ("fid", "kid", "label_agreement", "inception_score", "c2st"):
        assert artifact.get_float_custom_property(figure) == document[figure] != 0
    for scope in ("mean", "worst"):
        for figure in ("kid_relative", "label_agreement", "label_agreement_ratio"):
            assert artifact.get_float_custom_property(f"{scope}.{figure}") == document["groups"][scope][figure] != 0


def test_the_blessing_is_what_the_pusher_reads_and_holds_what_it_pushes(done, unseen):
    document, folder, blessing = done
    expected = int(document["verdict"] == "blessed")
    assert blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == expected
    assert blessing.get_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY) == str(unseen)
    names = {path.name for path in Path(blessing.uri).iterdir()}
    assert names == {"BLESSED" if expected else "NOT_BLESSED", "evaluation.json", "modelcard.md"}
    assert (Path(blessing.uri) / "evaluation.json").read_bytes() == (folder / "evaluation.json").read_bytes()


def test_pictures_are_of_their_classes_beside_the_nearest_training_image(done, digit_parts, model, run):
    with np.load(done[1] / "samples.npz") as arrays:
        shown = dict(arrays)
    assert shown["real"].shape == shown["generated"].shape == shown["nearest"].shape == (10, 10, 8, 8, 1)
    assert shown["real_count"].tolist() == shown["generated_count"].tolist() == [10] * 10
    for label in range(10):
        for name, part in (("real", "eval"), ("generated", "unseen"), ("nearest", "train")):
            known = {image.tobytes() for image in digit_parts[part][label]}
            assert all(image.tobytes() in known for image in shown[name][label])
        train = digit_parts["train"][label].reshape(-1, 64) / 255
        for image, distance in zip(shown["generated"][label], shown["nearest_distance"][label], strict=True):
            assert distance == pytest.approx(np.linalg.norm(image.reshape(64) / 255 - train, axis=1).min(), abs=1e-3)
    _, folder, _ = run(model("copies", digit_parts["train"]))
    with np.load(folder / "samples.npz") as arrays:
        np.testing.assert_array_equal(arrays["nearest"], arrays["generated"])
        assert arrays["nearest_distance"].max() < 1e-5


def test_four_workers_write_the_same_bytes_as_one_and_so_does_a_cache(done, run, unseen, tmp_path):
    workers = ("--runner=DirectRunner", "--direct_running_mode=multi_threading", "--direct_num_workers=4")
    for cache, beam in ((tmp_path / "empty", workers), (run.cache, ("--runner=DirectRunner",))):
        _, folder, _ = run(unseen, cache=cache, beam=beam)
        for name in ("evaluation.json", "samples.npz"):
            assert (folder / name).read_bytes() == (done[1] / name).read_bytes()


def test_real_images_are_looked_at_once_and_again_when_what_was_kept_is_damaged(done, run, unseen, monkeypatch):
    looked = []
    real_batches = judging.looking.real_batches

    def watched(split, *args):
        looked.append(split)
        return real_batches(split, *args)

    monkeypatch.setattr(judging.looking, "real_batches", watched)
    run(unseen)
    assert looked == []
    kept = sorted((run.cache / "features").iterdir())
    assert len(kept) == 3  # eval, train, and the axes of the pixels
    for path in kept:
        path.write_bytes(path.read_bytes()[:-100])
    _, folder, _ = run(unseen)
    assert sorted(looked) == ["eval", "train"] and sorted((run.cache / "features").iterdir()) == kept
    assert (folder / "evaluation.json").read_bytes() == (done[1] / "evaluation.json").read_bytes()
    run(
        unseen,
        options=OPTIONS.model_copy(update={"features": OPTIONS.features.model_copy(update={"network": "pixels"})}),
    )
    assert looked[2:] == ["eval"]  # other features of the eval split; of train only pixels are wanted


def test_another_seed_asks_for_other_images(done, run, unseen):
    document, _, _ = run(unseen, options=OPTIONS.model_copy(update={"seed": 3}))
    assert document["kid"] != done[0]["kid"]


def test_a_generator_is_compared_with_what_serves_and_with_the_best(run, unseen, model, digit_parts):
    worse = model("worse", [*digit_parts["unseen"][1:], digit_parts["unseen"][0]])
    copies = model("copies", digit_parts["train"])
    document, _, _ = run(unseen, served(worse, 9), served(copies, 4))
    assert (document["served_version"], document["best_version"]) == (9, 4)
    rows = {(row["against"], row["version"], row["where"]) for row in document["compared"]}
    assert rows == {(role, version, name) for role, version in (("serving", 9), ("best", 4)) for name in CLASSES}
    by_role = {row["against"]: row for row in document["compared"] if row["figure"] == "label_agreement"}
    assert by_role["serving"]["other"] < 0.2 < 0.5 < by_role["best"]["other"]


def test_what_serves_already_is_said_and_not_compared(run, unseen, model, digit_parts):
    document, _, blessing = run(unseen, served(unseen, 9), served(model("copies", digit_parts["train"]), 4))
    assert document["verdict"] == "already_serving" and document["blessed"] is True and document["compared"] == []
    assert document["reasons"][0] == "this generator is what serves, as version 9"
    assert blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 0  # nothing is to be pushed


def test_the_same_classes_in_another_order_are_the_same_classes(run, unseen, model, digit_parts):
    backwards = model("backwards", digit_parts["unseen"][::-1], CLASSES[::-1])
    document, _, _ = run(unseen, served(backwards))
    agreement = [row["other"] for row in document["compared"] if row["figure"] == "label_agreement"]
    assert np.mean(agreement) > 0.5 and document["warnings"] == []


def test_a_served_model_that_cannot_be_compared_is_told_and_passed_over(run, unseen, model, digit_parts):
    other = model("other", digit_parts["unseen"], (*CLASSES[:-1], "ten"))
    gone = Served(3, "/nowhere/3", "x", "files")
    document, _, blessing = run(unseen, served(other), gone, HELD)
    assert document["compared"] == [] and len(document["warnings"]) == 2
    first, second = document["warnings"]
    assert first.startswith("not compared with version 5, which serves: ")
    assert first.endswith("other classes than the data: it lacks `9` and it has `ten` besides")
    assert second.startswith("not compared with version 3, which was the best: /nowhere/3 holds no generator")
    assert document["reasons"] == ["the one rule holds", first, second]
    assert blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1


@pytest.fixture
def damaged(unseen, tmp_path):
    """A copy of what is judged, under the same fingerprint, spoiled by a function of its folder."""

    def make(spoil):
        shutil.copytree(unseen, tmp_path / "damaged")
        spoil(tmp_path / "damaged" / "Format-Serving")
        return tmp_path / "damaged"

    return make


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "file", ["variables/variables.data-00000-of-00001", "variables/variables.index", "saved_model.pb"]
)
def test_a_damaged_version_of_the_same_fingerprint_is_not_taken_for_the_same(run, unseen, damaged, file):
    base = damaged(lambda folder: half(folder / file))
    version = Served(9, str(base / "Format-Serving"), served(unseen).fingerprint, "files")
    document, _, blessing = run(unseen, version, options=HELD)
    (warning,) = document["warnings"]
    assert warning.startswith(f"not compared with version 9, which serves: {version.path} holds no generator: ")
    assert document["verdict"] == "blessed" and document["reasons"] == ["the one rule holds", warning]
    assert blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1


def test_an_other_generator_of_the_same_fingerprint_is_compared(run, unseen, model, digit_parts):
    black = model("black", [np.zeros_like(images) for images in digit_parts["unseen"]])
    for judged, other in ((unseen, black), (black, unseen)):
        version = dataclasses.replace(served(other), fingerprint=served(judged).fingerprint)
        about = other / "Format-Serving" / "assets.extra" / "tailgan.json"
        kept = about.read_text()
        about.write_text(json.dumps({**json.loads(kept), "fingerprint": version.fingerprint}))
        document, _, blessing = run(judged, version)
        about.write_text(kept)
        assert len(document["compared"]) == 20 and document["verdict"] != "already_serving"
    assert document["verdict"] == "rejected"
    assert blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 0


def test_a_version_that_fails_when_it_is_called_is_told_and_only_it_is_passed_over(run, unseen, exports, tmp_path):
    import tensorflow as tf

    def fails_later(label, seed):  # in the last of several calls
        size = tf.where(tf.reduce_max(label) == 9, 7, 8)
        png = tf.io.encode_png(tf.zeros([size, 8, 1], tf.uint8))
        return {"image_bytes": tf.fill(tf.shape(label), png), "status": tf.fill(tf.shape(label), "ok")}

    fails = exports.function(tmp_path / "fails" / "Format-Serving", fails_later, CLASSES).parent
    document, _, _ = run(unseen, served(fails, 9), served(fails, 4), HELD)
    first, second = document["warnings"]
    assert first.startswith("not compared with version 9, which serves: ") and "gave an image of 7 x 8 x 1" in first
    assert second.startswith("not compared with version 4, which was the best: ")
    assert document["verdict"] == "blessed" and document["compared"] == []
    with pytest.raises(UserError, match="gave an image of 7 x 8 x 1"):  # of what is judged, it is a fault
        run(fails, served(unseen))


def test_a_candidate_with_other_classes_or_sizes_is_refused(run, model, digit_parts):
    with pytest.raises(UserError, match="it lacks `9` and it has `ten` besides"):
        run(model("other", digit_parts["unseen"], (*CLASSES[:-1], "ten")))
    colour = [np.repeat(images, 3, axis=3) for images in digit_parts["unseen"]]
    with pytest.raises(UserError, match="makes images of 8 x 8 x 3"):
        run(model("colour", colour))


def test_a_judge_of_other_classes_is_refused(run, unseen, digits, monkeypatch):
    monkeypatch.setattr(judging.Eyes, "__init__", _of_three_classes(judging.Eyes.__init__))
    with pytest.raises(UserError, match="a judge of 3 classes; the data have 10"):
        run(unseen)


def _of_three_classes(init):
    def made(self, judge, *rest):
        judge.classes = 3
        init(self, judge, *rest)

    return made


def test_the_driver_sees_what_serves_the_best_and_the_weights(tmp_path):
    for version, mean in ((1, 0.1), (2, 0.3)):
        extra = tmp_path / "serving" / str(version) / "assets.extra"
        extra.mkdir(parents=True)
        (extra.parent / "saved_model.pb").touch()
        (extra / "tailgan.json").write_text(json.dumps({"fingerprint": f"f{version}"}))
        (extra / "evaluation.json").write_text(
            json.dumps({"per_class": {"a": {}}, "groups": {"mean": {"kid_relative": mean}}})
        )
    (tmp_path / "w.h5").write_bytes(b"weights")

    def state(**features):
        options = GateOptions.model_validate({"features": features})
        return Driver.state(None, {"serving_dir": str(tmp_path / "serving"), "options": options.model_dump_json()})

    found = state()
    assert json.loads(found["served"])["version"] == 2 and json.loads(found["best"])["version"] == 1
    assert found["weights"] == ""
    first = state(network="inception", weights=str(tmp_path / "w.h5"))["weights"]
    (tmp_path / "w.h5").write_bytes(b"other weights")
    assert first and state(network="inception", weights=str(tmp_path / "w.h5"))["weights"] != first
    shutil.rmtree(tmp_path / "serving" / "2")
    found = state()
    assert json.loads(found["served"])["version"] == 1 and found["best"] == ""
