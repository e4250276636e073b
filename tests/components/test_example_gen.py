"""ExampleGen's executor and driver on real folders, run by Beam."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen.executor import Executor as StatisticsGenExecutor
from tfx.dsl.components.base import base_beam_executor
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts

from components import examples
from components.example_gen import component, executor, split
from components.example_gen.images import ingest
from components.example_gen.options import DataOptions, LongTail
from models.dataset import DatasetInfo
from models.errors import UserError

DATA = Path(os.environ.get("TAILGAN_DATA", Path(__file__).resolve().parents[3] / "shared"))
CLASSES = ("break", "fray", "good ü")


def context(tmp, *beam_args):
    return base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(beam_args) or ["--runner=DirectRunner"], tmp_dir=str(tmp), unique_id="1"
    )


def run(target, *beam_args, span=0, **options):
    """Runs the executor and returns its artifact and what it says of itself."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(target)
    parsed = DataOptions(**options).model_dump_json()
    executor.Executor(context(target.parent / "tmp", *beam_args)).Do(
        {},
        {"examples": [artifact]},
        {"options": parsed, "code_version": "x", "source_fingerprint": "y", "span": str(span)},
    )
    return artifact, DatasetInfo.load(str(target))


def workers(kind, number):
    """Beam's options for so many workers, threads or processes."""
    return ("--runner=DirectRunner", f"--direct_running_mode=multi_{kind}", f"--direct_num_workers={number}")


def read(artifact, split, features=("image", "label", "id")):
    """[(label, id, image)] of a split, in order."""
    found = []
    for path in examples.shards(artifact.uri, split):
        for record in examples.read(path):
            feature = tf.train.Example.FromString(record).features.feature
            assert set(feature) == {*features}
            label, id, image = feature["label"].int64_list, feature["id"].bytes_list, feature["image"].bytes_list
            found.append((label.value[0], id.value[0], image.value[0]))
    return found


def files(uri):
    """{path below uri: bytes}."""
    return {str(p.relative_to(uri)): p.read_bytes() for p in Path(uri).rglob("*") if p.is_file()}


def lines(artifact, name):
    return [json.loads(line) for line in Path(artifact.uri, name).read_text().splitlines()]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """300, 60 and 20 images of three classes, four of each object; three copies; two files that are no images."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, count in zip(CLASSES, (60, 20, 300), strict=True):
        (root / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (10, 12, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{name[0]}{i // 4}_{i % 4}.png")
    shutil.copy(root / "break" / "b0_0.png", root / "break" / "copy.png")
    shutil.copy(root / "break" / "b1_0.png", root / "good ü" / "copy.png")
    Image.open(root / "fray" / "f0_0.png").save(root / "fray" / "again.bmp")
    (root / "fray" / "empty.png").write_bytes(b"")
    (root / "good ü" / "notes.png").write_text("a text")
    return root


@pytest.fixture(scope="module")
def options(images):
    return {"source": "image_folder", "root": str(images), "image_size": 8, "channels": 3, "max_bad_fraction": 0.02}


@pytest.fixture(scope="module")
def done(options, tmp_path_factory):
    return run(tmp_path_factory.mktemp("done") / "examples", **options)


def test_what_a_killed_try_has_left_is_no_part_of_the_artifact(tmp_path):
    run(tmp_path / "whole", source="digits")
    for name in (".tmp-ingest/bad-0.jsonl", "Split-train/data_tfrecord-00007-of-00008.gz", "duplicates.jsonl"):
        (path := tmp_path / "again" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    run(tmp_path / "again", source="digits")
    assert files(tmp_path / "again") == files(tmp_path / "whole")


def test_every_image_is_in_one_split_with_its_label(done):
    artifact, info = done
    train, held_out = read(artifact, "train"), read(artifact, "eval")
    ids = [id for _, id, _ in train + held_out]
    assert len(ids) == len(set(ids)) == 380 and all(len(bytes.fromhex(id.decode())) == 16 for id in ids)
    assert info.classes == CLASSES and info.image_shape == (8, 8, 3)
    for name, found in (("train", train), ("eval", held_out)):
        assert np.bincount([label for label, _, _ in found], minlength=3).tolist() == list(info.counts[name])
        assert {tf.io.decode_png(image).shape.as_list() == [8, 8, 3] for _, _, image in found} == {True}
    assert info.train_unique == info.counts["train"] and info.class_weights == (1, 1, 1)
    assert info.source_counts == (61, 22, 302) and min(info.counts["eval"]) >= 5
    assert 0.12 < len(held_out) / 380 < 0.28


def test_copies_are_dropped_and_told(done):
    artifact, info = done
    dropped = {frozenset((line["path"], line["of"])) for line in lines(artifact, "duplicates.jsonl")}
    assert dropped == {
        frozenset(("break/b0_0.png", "break/copy.png")),
        frozenset(("break/b1_0.png", "good ü/copy.png")),
        frozenset(("fray/f0_0.png", "fray/again.bmp")),
    }
    assert info.duplicates == 3


def test_what_cannot_be_read_is_quarantined_with_its_reason(done):
    artifact, info = done
    reasons = {line["path"]: line["reason"] for line in lines(artifact, "quarantine.jsonl")}
    assert set(reasons) == {"fray/empty.png", "good ü/notes.png"} and info.quarantined == 2
    assert reasons["fray/empty.png"] == "an empty file" and "no image of a known kind" in reasons["good ü/notes.png"]


def test_nothing_else_is_left_in_the_artifact(done):
    artifact, _ = done
    assert {Path(path).parts[0] for path in files(artifact.uri)} == {
        "Split-train", "Split-eval", "dataset.json", "quarantine.jsonl", "duplicates.jsonl",
    }  # fmt: skip
    assert len(examples.shards(artifact.uri, "train")) == len(examples.shards(artifact.uri, "eval")) == 2


def test_the_output_does_not_depend_on_the_workers(done, options, tmp_path):
    many, _ = run(tmp_path / "examples", *workers("threading", 3), **options)
    assert files(many.uri) == files(done[0].uri)


@pytest.mark.e2e
def test_the_output_does_not_depend_on_the_processes(done, options, tmp_path):
    many, _ = run(tmp_path / "examples", *workers("processing", 2), **options)
    assert files(many.uri) == files(done[0].uri)


def test_the_fingerprint_is_that_of_the_images_wherever_they_lie(done, options, images, tmp_path):
    shutil.copytree(images, tmp_path / "moved")
    (tmp_path / "moved" / "break" / "b0_0.png").rename(tmp_path / "moved" / "break" / "renamed.png")
    _, same = run(tmp_path / "same", **{**options, "root": str(tmp_path / "moved")})
    assert same.fingerprint == done[1].fingerprint
    Image.new("RGB", (10, 12), (1, 2, 3)).save(tmp_path / "moved" / "break" / "b9_0.png")
    _, other = run(tmp_path / "other", **{**options, "root": str(tmp_path / "moved")})
    assert other.fingerprint != same.fingerprint
    _, split_anew = run(tmp_path / "seed", **options, seed=1)
    assert split_anew.fingerprint != done[1].fingerprint


def test_objects_stay_together(options, tmp_path):
    artifact, _ = run(tmp_path / "examples", **options, group_by=r"^(\w\d+)_", min_eval_per_class=6)
    held_out = {id for _, id, _ in read(artifact, "eval")}
    labels = np.bincount([label for label, _, _ in read(artifact, "eval")], minlength=3)
    # Whole objects of four; a copy is none of an object, and stands for itself.
    assert all(count % 4 in (0, 1, 3) and count >= 6 for count in labels)
    parsed = DataOptions(**options)
    for name in CLASSES:
        for number in range(1, 15):
            paths = [Path(options["root"], name, f"{name[0]}{number}_{i}.png") for i in range(4)]
            if paths[0].is_file() and (name, number) != ("break", 1):
                contents = [split.content_hash(ingest(p.read_bytes(), parsed)[0]).hex() for p in paths]
                assert len({content.encode() in held_out for content in contents}) == 1


def test_a_group_rule_that_matches_nothing_is_refused(options, tmp_path):
    with pytest.raises(UserError, match=r"`data.group_by`: 'tile\(\.\)' matches none of the file names"):
        run(tmp_path / "examples", **options, group_by="tile(.)")


def test_too_many_bad_files_stop_the_run_and_leave_no_data_set(options, tmp_path):
    message = (
        r"2 of 385 images cannot be read, 0\.00519 of them where `data.max_bad_fraction` allows 0\.005: "
        r"fray/empty\.png: an empty file; good ü/notes\.png: no image of a known kind"
    )
    with pytest.raises(UserError, match=message):
        run(tmp_path / "examples", **{**options, "max_bad_fraction": 0.005})
    assert files(tmp_path / "examples") == {}


def test_a_class_too_small_stops_the_run(options, tmp_path):
    with pytest.raises(UserError, match="class `fray` has 0 training images: all of its 20 went"):
        run(tmp_path / "examples", **options, min_eval_per_class=20)


def test_the_long_tail_is_exact_and_leaves_eval_alone(tmp_path):
    full, whole = run(tmp_path / "full", source="digits")
    thin, tail = run(tmp_path / "thin", source="digits", long_tail=LongTail(imbalance_ratio=20))
    largest = max(whole.counts["train"])
    expected = [int(largest * 20 ** (-i / 9)) for i in range(10)]
    assert list(tail.counts["train"]) == [min(n, kept) for n, kept in zip(whole.counts["train"], expected, strict=True)]
    assert tail.counts["eval"] == whole.counts["eval"] and tail.source_counts == whole.source_counts
    assert read(full, "eval") == read(thin, "eval") and set(read(thin, "train")) < set(read(full, "train"))


def test_a_split_that_the_source_has_is_kept_and_no_image_is_in_both(images, options, tmp_path):
    for name in CLASSES:
        for i, path in enumerate(sorted((images / name).glob("?*_*.png"))):
            target = tmp_path / "root" / ("test" if i % 3 == 0 else "train") / name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    leak = tmp_path / "root" / "train" / "fray" / "leak.png"
    shutil.copy(next((tmp_path / "root" / "test" / "fray").iterdir()), leak)
    artifact, info = run(tmp_path / "examples", **{**options, "root": str(tmp_path / "root")})
    assert info.counts == {"eval": (20, 7, 100), "train": (40, 13, 200)} and info.duplicates == 1
    assert [line["path"] for line in lines(artifact, "duplicates.jsonl")] == ["train/fray/leak.png"]


@pytest.fixture(scope="module")
def holed(images, tmp_path_factory):
    """The images with a folder of 30 more that have no class, one a copy of a labelled one; with black rows."""
    root = tmp_path_factory.mktemp("holed")
    shutil.copytree(images, root, dirs_exist_ok=True)
    (root / "more").mkdir()
    rng = np.random.default_rng(5)
    for i in range(29):
        pixels = rng.integers(1, 256, (10, 12, 3), np.uint8)
        pixels[: 6 if i == 0 else 1] = 0
        Image.fromarray(pixels).save(root / "more" / f"x{i}.png")
    shutil.copy(root / "fray" / "f1_1.png", root / "more" / "copy.png")
    return root


def test_images_without_a_class_are_trained_on_and_counted_in_none(holed, options, done, tmp_path):
    artifact, info = run(tmp_path / "examples", **{**options, "root": str(holed)}, unlabelled="more")
    train, held_out = read(artifact, "train"), read(artifact, "eval")
    assert sum(label == -1 for label, _, _ in train) == info.unlabelled == 29 and min(held_out)[0] == 0
    assert (info.classes, info.counts, info.source_counts) == (CLASSES, done[1].counts, done[1].source_counts)
    assert {"path": "more/copy.png", "of": "fray/f1_1.png"} in lines(artifact, "duplicates.jsonl")
    assert {row for row in train if row[0] >= 0} == set(read(done[0], "train"))
    assert held_out == read(done[0], "eval") or set(held_out) == set(read(done[0], "eval"))


def test_masks_travel_with_the_images(holed, options, tmp_path):
    masked, info = run(tmp_path / "a", **{**options, "root": str(holed)}, unlabelled="more", missing_pixels=0)
    assert info.has_masks and info.image_shape == (8, 8, 3)
    read(masked, "train", ("image", "label", "id", "mask"))
    absent = []
    for path in examples.shards(masked.uri, "train"):
        for record in examples.read(path):
            feature = tf.train.Example.FromString(record).features.feature
            mask = tf.io.decode_png(feature["mask"].bytes_list.value[0]).numpy()
            image = tf.io.decode_png(feature["image"].bytes_list.value[0]).numpy()
            assert mask.shape == (8, 8, 1) and not image[mask[..., 0] == 0].any()
            if feature["label"].int64_list.value[0] == -1:
                absent.append((mask == 0).mean())
    assert sorted(absent)[-1] > 0.4 and len(absent) == 29


def test_tfx_reads_the_output(done, tmp_path):
    artifact, info = done
    assert json.loads(artifact.split_names) == ["train", "eval"] and artifact.span == artifact.version == 0
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(tmp_path / "statistics")
    StatisticsGenExecutor(context(tmp_path / "tmp")).Do(
        {"examples": [artifact]}, {"statistics": [statistics]}, {"stats_options_json": None, "exclude_splits": "[]"}
    )
    for name in examples.SPLITS:
        path = Path(statistics.uri, f"Split-{name}", "FeatureStats.pb")
        found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0]
        assert found.num_examples == sum(info.counts[name])
        assert {feature.path.step[0] for feature in found.features} == {"image", "label", "id"}


def test_a_split_without_an_image_in_one_part_is_still_read(tmp_path):
    rng = np.random.default_rng(1)
    for name, count in (("a", 290), ("b", 3)):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(tmp_path / "root" / name / f"{i}.png")
    options = {"source": "image_folder", "root": str(tmp_path / "root"), "image_size": 4}
    artifact, info = run(tmp_path / "examples", **options, min_eval_per_class=1, eval_fraction=1e-6)
    assert info.counts["eval"] == (1, 1)
    sizes = [sum(1 for _ in examples.read(path)) for path in examples.shards(artifact.uri, "eval")]
    assert sum(sizes) == 2 and len(sizes) == 2
    assert len(read(artifact, "train")) == 291


def test_the_driver_sees_a_changed_image(images, options, tmp_path):
    shutil.copytree(images, tmp_path / "root")
    json_options = DataOptions(**{**options, "root": str(tmp_path / "root")}).model_dump_json()
    node = component.ExampleGen(options=json_options, code_version="1")
    assert node.driver_class is component.Driver

    def fingerprint():
        info = data_types.ExecutionInfo(exec_properties=dict(node.exec_properties))
        return component.Driver(None).run(info).exec_properties["source_fingerprint"].string_value

    first = fingerprint()
    assert first and fingerprint() == first
    Image.new("RGB", (10, 12)).save(tmp_path / "root" / "fray" / "f0_1.png")
    assert fingerprint() != first


def test_spans_are_read_up_to_the_one_that_was_newest_when_the_driver_looked(images, options, tmp_path, caplog):
    caplog.set_level("INFO", logger="tailgan")
    for day in ("in 3", "in 10", "in 11"):
        shutil.copytree(images, tmp_path / "all" / day)
    (tmp_path / "all" / "in 12, not yet whole").mkdir()
    new = Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12))
    for i, day in enumerate(("in 10", "in 11")):
        new.point(lambda value, i=i: value + 100 * i).save(tmp_path / "all" / day / "fray" / "new.png")
    spans = {**options, "root": str(tmp_path / "all" / "in {SPAN}")}
    info = data_types.ExecutionInfo(exec_properties={"options": DataOptions(**spans).model_dump_json()})
    assert component.Driver(None).run(info).exec_properties["span"].string_value == "11"

    _, of_one = run(tmp_path / "one", **options)
    artifact, of_two = run(tmp_path / "two", span=10, **spans)
    assert (artifact.span, artifact.version) == (10, 0) and "in 12, not yet whole" in caplog.text
    before, now = (sum(map(sum, info.counts.values())) for info in (of_one, of_two))
    assert now == before + 1 and of_two.duplicates > of_one.duplicates  # but for the new one, they are copies
    last, of_last = run(tmp_path / "last", span=11, spans=1, **spans)
    assert last.span == 11 and sum(map(sum, of_last.counts.values())) == now


@pytest.mark.e2e
def test_magnetic_tiles_come_in_whole(tmp_path):
    if not (DATA / "magnetic_tile").is_dir():
        pytest.skip(f"no magnetic tiles in {DATA}; TAILGAN_DATA names another place")
    tiles = {"source": "image_folder", "root": str(DATA / "magnetic_tile"), "group_by": r"(num_\d+)"}
    _, info = run(tmp_path / "examples", **tiles, image_size=16)
    assert dict(zip(info.classes, info.source_counts, strict=True)) == {
        "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "free": 952, "uneven": 103,
    }  # fmt: skip
    assert sum(map(sum, info.counts.values())) + info.duplicates == 1344 and not info.quarantined
    assert min(info.counts["eval"]) >= 5
