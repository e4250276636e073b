"""Sources of images: what they find, and what they say when they are not as they should be."""

import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.example_gen.images import BadImage, ingest
from components.example_gen.options import DataOptions
from components.example_gen.sources import open_source
from components.example_gen.sources.base import chunk_count
from models.errors import UserError

DATA = Path(os.environ.get("TAILGAN_DATA", Path(__file__).resolve().parents[3] / "shared"))


def fill(root, *paths):
    """A tiny PNG at each path below the root, each of another grey."""
    for grey, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), grey % 256).save(root / path, "PNG")


def folder(root, **rest):
    return open_source(DataOptions(source="image_folder", root=str(root), **rest))


def read(source):
    return [raw for chunk in source.chunks() for raw in source.read(chunk)]


@pytest.mark.parametrize(("images", "parts"), [(1, 1), (256, 1), (257, 2), (1797, 8), (10**6, 1024)])
def test_parts_are_neither_tiny_nor_many(images, parts):
    assert chunk_count(images) == parts


def test_digits_are_black_to_white_and_each_comes_once():
    source = open_source(DataOptions(source="digits"))
    images = read(source)
    assert source.classes == tuple("0123456789") and source.fingerprint() == source.fingerprint()
    assert len({raw.key for raw in images}) == len(images) == 1797
    assert {raw.label for raw in images} == set(range(10)) and {raw.split for raw in images} == {None}
    values = np.stack([raw.data for raw in images])
    assert values.dtype == np.uint8 and values.shape == (1797, 8, 8) and values.min() == 0 and values.max() == 255


def test_group_by_needs_file_names():
    with pytest.raises(UserError, match=r"`data.group_by`: source `digits` has no file names to search in"):
        open_source(DataOptions(source="digits", group_by="x"))


def test_a_folder_a_class(tmp_path):
    fill(tmp_path, "zebra/1.png", "ant/a b.png", "ant/ü.png", "ant/.hidden.png", "ant/Thumbs.db", ".cache/x.png")
    (tmp_path / "LICENSE").write_text("beside the class folders, and no image")
    source = folder(tmp_path)
    assert source.classes == ("ant", "zebra")
    found = {raw.key: (raw.label, raw.split, raw.group) for raw in read(source)}
    assert found == {
        key: (label, None, None) for key, label in (("zebra/1.png", 1), ("ant/a b.png", 0), ("ant/ü.png", 0))
    }
    assert all(raw.data == (tmp_path / raw.key).read_bytes() for raw in read(source))


def test_folders_named_after_splits(tmp_path):
    fill(tmp_path, "Train/a/1.png", "Train/b/1.png", "val/a/2.png", "test/b/3.png")
    assert {raw.key: (raw.label, raw.split) for raw in read(folder(tmp_path))} == {
        "Train/a/1.png": (0, "train"), "Train/b/1.png": (1, "train"),
        "val/a/2.png": (0, "eval"), "test/b/3.png": (1, "eval"),
    }  # fmt: skip
    with pytest.raises(UserError, match=r"`data.group_by`: .* is split already, into Train, test, val"):
        folder(tmp_path, group_by="x")


def test_one_split_alone_is_none(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png")
    assert {raw.key: raw.split for raw in read(folder(tmp_path))} == {"train/a/1.png": None, "train/b/1.png": None}


def test_a_class_may_be_named_like_a_split_if_others_are_not(tmp_path):
    fill(tmp_path, "train/1.png", "car/1.png")
    assert folder(tmp_path).classes == ("car", "train")


@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_a_folder_of_images_without_a_class(tmp_path, parts):
    fill(tmp_path, "more/1.png", *(f"{part}{name}/1.png" for part in parts for name in "ab"))
    source = folder(tmp_path, unlabelled="more")
    assert source.classes == ("a", "b")
    found = {raw.key: (raw.label, raw.split) for raw in read(source)}
    assert found["more/1.png"] == (None, None) and len(found) == 2 * len(parts) + 1
    before = source.fingerprint()
    fill(tmp_path, "more/2.png")
    assert folder(tmp_path, unlabelled="more").fingerprint() != before


def test_faults_of_a_folder_without_a_class(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(UserError, match=r"`data.unlabelled`: there is no folder `more` in"):
        folder(tmp_path, unlabelled="more")
    (tmp_path / "more").mkdir()
    with pytest.raises(UserError, match=r"`data.unlabelled`: .*more is empty"):
        folder(tmp_path, unlabelled="more")
    with pytest.raises(UserError, match=r"`data.unlabelled`: source `digits` has no folders"):
        open_source(DataOptions(source="digits", unlabelled="more"))
    for wrong in ("a/b", "", ".", ".."):
        with pytest.raises(ValueError, match=r"the name of one folder in `data.root`"):
            folder(tmp_path, unlabelled=wrong)


def test_spans_are_read_together_by_number(tmp_path):
    fill(
        tmp_path, "in/007/a/1.png", "in/007/b/1.png", "in/10/a/1.png", "in/9/c/1.png", "in/x1/a/1.png", "in/.2/a/1.png"
    )
    source = folder(tmp_path / "in" / "{SPAN}")
    assert (source.classes, source.span, source.ignored) == (("a", "b", "c"), 10, ("x1",))
    assert {raw.key: raw.label for raw in read(source)} == {
        "007/a/1.png": 0, "007/b/1.png": 1, "10/a/1.png": 0, "9/c/1.png": 2
    }  # fmt: skip
    newest = folder(tmp_path / "in" / "{SPAN}", spans=2)
    assert newest.classes == ("a", "c") and {raw.key for raw in read(newest)} == {"10/a/1.png", "9/c/1.png"}
    assert newest.fingerprint() != source.fingerprint()
    options = DataOptions(source="image_folder", root=str(tmp_path / "in" / "{SPAN}"), spans=2)
    earlier = open_source(options, last_span=9)
    assert earlier.span == 9 and {raw.key for raw in read(earlier)} == {"007/a/1.png", "007/b/1.png", "9/c/1.png"}


def test_a_span_may_be_a_part_of_a_name_in_the_middle_of_a_path_and_relative(tmp_path, monkeypatch):
    fill(
        tmp_path,
        *(f"day-{n}.d/images/{split}/{name}/1.png" for n in "12" for split in ("train", "test") for name in "ab"),
    )
    fill(tmp_path, "day-2.d/images/more/1.png")
    monkeypatch.chdir(tmp_path)
    source = folder("day-{SPAN}.d/images", unlabelled="more")
    found = {raw.key: (raw.label, raw.split) for raw in read(source)}
    assert found["day-2.d/images/more/1.png"] == (None, None) and found["day-1.d/images/test/b/1.png"] == (1, "eval")
    assert len(found) == 9 and source.span == 2


def test_faults_of_spans(tmp_path):
    pattern = tmp_path / "in" / "{SPAN}"
    with pytest.raises(UserError, match=r"`data.root`: .*in cannot be listed: No such file"):
        folder(pattern)
    fill(tmp_path, "in/x/a/1.png")
    with pytest.raises(UserError, match=r"`data.root`: there is no span in .*: no folder \{SPAN\} with a number"):
        folder(pattern)
    fill(tmp_path, "in/1/a/1.png", "in/1/b/1.png")
    for name in "ab":
        (tmp_path / "in" / "2" / name).mkdir(parents=True)
    with pytest.raises(UserError, match=r"`data.root`: span .*in/2 has no images"):
        folder(pattern)
    fill(tmp_path, "in/2/train/a.png", "in/2/a/2.png")
    (tmp_path / "in" / "2" / "b").rmdir()
    shutil.rmtree(tmp_path / "in" / "2" / "a")
    with pytest.raises(UserError, match=r"in/2 is split already, and .*in/1 is not"):
        folder(pattern)
    (tmp_path / "in" / "2").rename(tmp_path / "in" / "01")
    with pytest.raises(UserError, match=r"01 and 1 in .* are both span 1"):
        folder(pattern)
    with pytest.raises(ValueError, match=r"\{SPAN\} may stand once in `data.root`, not 2 times: a/\{SPAN\}/\{SPAN\}"):
        folder("a/{SPAN}/{SPAN}")
    for wrong in ({"source": "digits"}, {"source": "image_folder", "root": "a"}):
        with pytest.raises(ValueError, match=r"`data.spans` needs a folder of images with \{SPAN\} in `data.root`"):
            DataOptions(spans=3, **wrong)


def test_groups_come_from_file_names(tmp_path):
    fill(tmp_path, "exp1_num_7/exp1_num_8.png", "b/exp2_num_8.png", "b/other.png")
    groups = {raw.key: raw.group for raw in read(folder(tmp_path, group_by=r"num_(\d+)"))}
    assert groups == {"exp1_num_7/exp1_num_8.png": "8", "b/exp2_num_8.png": "8", "b/other.png": None}
    groups = {raw.key: raw.group for raw in read(folder(tmp_path, group_by="num_."))}
    assert groups["b/exp2_num_8.png"] == "num_8"


def test_parts_hold_all_classes_and_do_not_depend_on_the_place(tmp_path):
    fill(tmp_path / "x", *(f"{'ab'[i % 2]}/{i}.png" for i in range(600)))
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    first, second = folder(tmp_path / "x"), folder(tmp_path / "y")
    assert first.chunks() == second.chunks() and len(first.chunks()) == 3
    images = [list(first.read(chunk)) for chunk in first.chunks()]
    assert all(60 < np.mean([raw.label for raw in part]) * 200 < 140 for part in images)
    assert len({raw.key for part in images for raw in part}) == 600
    assert [[raw.key for raw in part] for part in images] == [
        [raw.key for raw in second.read(c)] for c in second.chunks()
    ]


def test_the_fingerprint_sees_a_new_a_renamed_a_changed_and_a_moved_image(tmp_path):
    fill(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    os.utime(tmp_path / "a/1.png", ns=(1, 1))
    seen = [folder(tmp_path).fingerprint()]
    assert folder(tmp_path).fingerprint() == seen[0]
    fill(tmp_path, "b/3.png")
    seen.append(folder(tmp_path).fingerprint())
    (tmp_path / "b/3.png").rename(tmp_path / "b/4.png")
    seen.append(folder(tmp_path).fingerprint())
    os.utime(tmp_path / "a/1.png", ns=(1, 2))
    seen.append(folder(tmp_path).fingerprint())
    (tmp_path / "a/2.png").rename(tmp_path / "b/2.png")
    seen.append(folder(tmp_path).fingerprint())
    assert len(set(seen)) == 5


def unreadable(tmp_path, key, **rest):
    """Why a file of a folder of three images could not be read."""
    data = {raw.key: raw.data for raw in read(folder(tmp_path, **rest))}
    assert len(data) == 3 and sum(isinstance(d, BadImage) for d in data.values()) == 1
    return str(data[key])


def test_what_cannot_be_opened_comes_with_its_reason(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a/loop.png").symlink_to(tmp_path / "a/loop.png")
    assert "symbolic links" in unreadable(tmp_path, "a/loop.png")
    assert folder(tmp_path).fingerprint()
    (tmp_path / "a/loop.png").unlink()
    os.mkfifo(tmp_path / "a/pipe.png")
    assert unreadable(tmp_path, "a/pipe.png") == "not a regular file"
    (tmp_path / "a/pipe.png").unlink()
    with (tmp_path / "a/huge.png").open("wb") as file:
        file.truncate(2**20 + 801)
    assert unreadable(tmp_path, "a/huge.png", max_pixels=100) == "1049377 bytes are more than max_pixels allows"
    (tmp_path / "a/huge.png").unlink()
    fill(tmp_path, "b/secret.png")
    (tmp_path / "b/secret.png").chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    assert unreadable(tmp_path, "b/secret.png") == "Permission denied"


def test_a_name_that_is_no_text_is_read_like_any_other(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png")
    os.rename(tmp_path / "a/1.png", os.fsencode(tmp_path) + b"/a/\xff.png")
    assert {raw.key for raw in read(folder(tmp_path))} == {"a/\udcff.png", "b/1.png"}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"there is no class folder in .*; images lie in CLASS/, a folder a class"),
        (
            ["1.png", "2.png", "3.png", "4.JPG", "a/1.png"],
            r"images lie directly in .*: 1.png, 2.png, 3.png and 1 more; each ",
        ),
        (["a/1.png", "b/"], r"class folder .*/b is empty; put images of `b` in it, or remove it"),
        (["a/1.png", "b/1.png", "b/c/1.png"], r"/b/c is a folder inside a class folder; images lie directly in .*/b"),
        (["a/1.png"], r"there is one class only, `a`; two or more are needed"),
        (["cat/1.png", "Cat/1.png"], r"classes `Cat` and `cat` in .* differ in nothing but upper and lower case"),
        (["a\n/1.png", "b/1.png"], r"class folder 'a\\n' in .*: a name of a class is made of printable characters"),
        (["train/1.png", "test/1.png"], r"images lie directly in .*/(train|test): 1.png; each belongs in"),
        (["train/a/1.png", "train/b/1.png", "test/"], r"there is no class folder in .*/test; images lie in CLASS/"),
    ],
)
def test_a_folder_laid_out_otherwise_is_refused(tmp_path, paths, message):
    for path in paths:
        if path.endswith("/"):
            (tmp_path / path).mkdir(parents=True)
        else:
            fill(tmp_path, path)
    with pytest.raises(UserError, match=message):
        folder(tmp_path).chunks()


def test_a_folder_of_very_many_files_is_listed_in_little_memory(tmp_path):
    files = 100_000
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(files // 2):
            os.close(os.open(tmp_path / name / f"{i:012d}.png", os.O_CREAT))
    source = folder(tmp_path)
    tracemalloc.start()
    try:
        source.fingerprint()
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.reset_peak()
        paths = sum(map(len, source.chunks()))
        assert paths == files * len("a/000000000000.png") + files - len(source.chunks())
        assert tracemalloc.get_traced_memory()[1] < 2 * paths + 2**20
    finally:
        tracemalloc.stop()


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"`data.root`: .*/absent cannot be listed: No such file or directory"):
        folder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"`data.root`: .*/file cannot be listed: Not a directory"):
        folder(tmp_path / "file")


def tfds_source(name, data_dir):
    return open_source(DataOptions(source="tfds", dataset=name, data_dir=str(data_dir)))


def test_an_unknown_data_set_comes_with_near_names(tmp_path):
    with pytest.raises(UserError, match="unknown TFDS data set `fashion_mnits`; did you mean `fashion_mnist`"):
        tfds_source("fashion_mnits", tmp_path)


def test_a_data_set_that_is_not_prepared_comes_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(UserError, match=rf"`cifar10` is not prepared in .*`tfds build cifar10 --data_dir={tmp_path}`"):
        tfds_source("cifar10", tmp_path)
    with pytest.raises(UserError, match=r"`cifar10:9.9.9` cannot be opened: .*only: 3.0.2"):
        tfds_source("cifar10:9.9.9", tmp_path)


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """Prepares a small data set of the given splits, and opens its directory as a source."""
    import tensorflow_datasets as tfds

    def make(name, features, splits):
        data_dir = tmp_path_factory.mktemp("tfds")
        info = tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={
                split: tf.data.Dataset.from_generator(
                    lambda rows=rows: iter(rows),
                    output_signature={k: tf.TensorSpec(None, tf.as_dtype(f.np_dtype)) for k, f in features.items()},
                )
                for split, rows in splits.items()
            },
            data_dir=data_dir,
        )  # fmt: skip
        assert info is not None
        return lambda: tfds_source(name, data_dir)

    return make


def rows(*labels):
    return [{"picture": np.full((4, 4, 1), i, np.uint8), "kind": label} for i, label in enumerate(labels)]


def features(**more):
    import tensorflow_datasets as tfds

    kind = tfds.features.ClassLabel(names=["zoo", "ant"])
    return {"picture": tfds.features.Image(shape=(None, None, 1)), "kind": kind, **more}


def test_a_prepared_data_set_of_anybody_is_read(prepare):
    source = prepare(
        "of_mine", features(), {"train": rows(0, 1, 1), "validation": rows(1), "test": rows(0), "extra": rows(0)}
    )()
    assert source.classes == ("zoo", "ant")  # in the order of their labels
    assert {(raw.key, raw.label, raw.split) for raw in read(source)} == {
        ("train[0]", 0, "train"), ("train[1]", 1, "train"), ("train[2]", 1, "train"),
        ("validation[0]", 1, "eval"), ("test[0]", 0, "eval"),
    }  # fmt: skip
    greys = {raw.key: int(ingest(raw.data, DataOptions(image_size=4))[0][0, 0, 0]) for raw in read(source)}
    assert greys["train[2]"] == 2
    assert source.fingerprint() == source.fingerprint()


def test_a_data_set_of_one_split_has_none(prepare):
    assert {raw.split for raw in read(prepare("unsplit", features(), {"train": rows(0, 1)})())} == {None}
    with pytest.raises(UserError, match="`oddly_split` has none of train, validation, test, only part"):
        prepare("oddly_split", features(), {"part": rows(0, 1)})()


def test_a_data_set_without_a_class_label_is_refused(prepare):
    import tensorflow_datasets as tfds

    with pytest.raises(UserError, match=r"`numbers` is not one of .* features are kind \(Scalar\), picture \(Image\)"):
        prepare("numbers", features(kind=tfds.features.Scalar(np.int64)), {"train": rows(0, 1)})()
    with pytest.raises(UserError, match=r"`two_labels` is not one of .* kind \(ClassLabel\), .*, sort \(ClassLabel\)"):
        both = [{**row, "sort": row["kind"]} for row in rows(0, 1)]
        prepare("two_labels", features(sort=tfds.features.ClassLabel(num_classes=2)), {"train": both})()


def test_fashion_mnist_as_tfds_prepared_it():
    if not (DATA / "tfds" / "fashion_mnist").is_dir():
        pytest.skip(f"no Fashion-MNIST below {DATA / 'tfds'}; TAILGAN_DATA names another place")
    source = tfds_source("fashion_mnist", DATA / "tfds")
    chunks = source.chunks()
    assert len(source.classes) == 10 and source.classes[0] == "T-shirt/top"
    assert sum(hi - lo for split, lo, hi in chunks if split == "train") == 60_000
    assert sum(hi - lo for split, lo, hi in chunks if split == "test") == 10_000
    name, lo, _ = chunks[-1]
    raw = list(source.read((name, lo, lo + 300)))
    assert [r.key for r in raw] == [f"{name}[{i}]" for i in range(lo, lo + 300)]
    everything = list(source.read((name, 0, lo + 1)))
    assert everything[lo] == raw[0]
    assert ingest(raw[0].data, DataOptions(image_size=28))[1] == raw[0].data
