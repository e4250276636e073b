"""`tailgan evaluate` on generators that were broken on purpose, and on real images, which no gate should turn away.

The digits: 58 images of each class are trained on, 58 (or 30) are held out, and 58 are seen by nobody.
"""

import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

pytestmark = pytest.mark.e2e

CLASSES = tuple(map(str, range(10)))
HELD_OUT = {"many": 58, "few": 30}
CONFIG = """
data: {{source: image_folder, root: {root}, image_size: 8, channels: 1}}
classifier: {{steps: 800}}
gate: {{samples_per_class: 58}}
"""


def write_folder(path, images):
    for name, of_class in zip(CLASSES, images, strict=True):
        (path / name).mkdir(parents=True)
        for i, image in enumerate(of_class):
            Image.fromarray(image[:, :, 0]).save(path / name / f"{i:03d}.png")
    return path


def made(fault, unseen, train):
    """Images of each class, as a generator with this fault makes them; without one they are real and unseen."""
    images = list(unseen)
    if fault == "drops a class":
        images[3] = unseen[8]
    elif fault == "copies":
        images = list(train)
    elif fault == "one image a class":
        images = [of_class[:1] for of_class in unseen]
    elif fault == "two labels swapped":
        images[4], images[7] = unseen[7], unseen[4]
    elif fault == "blurred":
        images = [gaussian_filter(of_class, (0, 1, 1, 0)) for of_class in unseen]
    return images


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digit_parts):
    """The data of both cases and their configurations, `<case>.yaml`."""
    path = tmp_path_factory.mktemp("evaluate")
    for case, held_out in HELD_OUT.items():
        images = path / case
        write_folder(images / "train", digit_parts["train"])
        write_folder(images / "eval", [of_class[:held_out] for of_class in digit_parts["eval"]])
        (path / f"{case}.yaml").write_text(CONFIG.format(root=images))
    write_folder(path / "unseen", digit_parts["unseen"])
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory, digit_parts, exports):
    """Directory of the SavedModel of each fault, made when it is first asked for."""
    path, done = tmp_path_factory.mktemp("models"), {}

    def model(fault):
        if fault not in done:
            images = made(fault, digit_parts["unseen"], digit_parts["train"])
            done[fault] = exports.table(path / fault.replace(" ", "_"), images, CLASSES)
        return done[fault]

    return model


def tailgan(root, folder, case, *what):
    return root.tailgan(
        "evaluate", *map(str, what), "--config", str(folder / f"{case}.yaml"), "--root", str(root.path)
    )  # fmt: skip


def evaluate(root, folder, case, *what):
    result = tailgan(root, folder, case, *what, "--json")
    assert result.returncode in (0, 3), result.stderr
    document = json.loads(result.stdout)
    assert document["blessed"] == (result.returncode == 0)
    return document


FAULTS = {
    "drops a class": r"class 3 is (never|hardly ever) made: \d+% of its images look like 8",
    "copies": r"images of class 0 are copies of training images",
    "one image a class": r"all images of class 0 are alike",
    "two labels swapped": r"classes 4 and 7 are swapped",
    "blurred": r"images of class \d are unlike real ones",
}


@pytest.mark.parametrize("case", HELD_OUT)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_generator_is_not_blessed_and_its_fault_is_named(root, folder, models, case, fault):
    document = evaluate(root, folder, case, "--model", models(fault))
    assert document["verdict"] == "rejected"
    assert any(re.search(FAULTS[fault], reason) for reason in document["reasons"]), document["reasons"]


@pytest.mark.parametrize("case", HELD_OUT)
def test_real_images_that_nobody_saw_are_blessed(root, folder, models, case):
    document = evaluate(root, folder, case, "--model", models("none"))
    if case == "many":
        assert document["verdict"] == "blessed", document["reasons"]
    assert "fail" not in {rule["outcome"] for rule in document["rules"]}  # of few, some may not be told
    of_folder = evaluate(root, folder, case, "--images", folder / "unseen")
    assert of_folder["generator"] != document["generator"]
    # The same images, from a model and from a folder, of which they are drawn in another order.
    assert of_folder["verdict"] == document["verdict"]
    for name, row in document["per_class"].items():  # of all images; figures of the whole take as many as are real
        assert of_folder["per_class"][name]["label_agreement"] == row["label_agreement"]


def test_people_read_the_verdict_and_nothing_is_trained_or_pushed(root, folder, models):
    evaluate(root, folder, "many", "--model", models("none"))
    result = tailgan(root, folder, "many", "--model", models("two labels swapped"))
    assert result.returncode == 3 and "cached   Judge" in result.stdout
    assert "verdict: rejected" in result.stdout and "classes 4 and 7 are swapped" in result.stdout
    made = {path.name for path in (root.path / "artifacts").iterdir()}
    assert "Judge" in made and not made & {"GAN", "Rebalancer", "Evaluator", "Pusher"}
    assert not (root.path / "serving").exists() and not (root.path / "run.json").exists()
    assert not (root.path / "tmp").exists()


def test_what_cannot_be_judged_is_refused(root, folder, models, tmp_path):
    write_folder(tmp_path / "nine", [np.zeros((2, 8, 8, 1), np.uint8)] * 10)
    (tmp_path / "nine" / "9").rename(tmp_path / "nine" / "ten")
    for what, message in (
        (("--images", tmp_path / "nine"), "it lacks `9` and it has `ten` besides"),
        (("--images", tmp_path / "absent"), "absent: no such folder"),
        (("--model", folder), "no SavedModel, because there is no saved_model.pb"),
        (("--model", folder, "--images", folder), "not allowed with argument"),
        ((), "one of the arguments --model --images is required"),
        (("--images", folder / "unseen", "--set", "gate.features.network=resnet"), "'judge', 'inception' or 'pixels'"),
        (
            ("--images", folder / "unseen", "--set", "gate.features={network: inception, weights: absent.h5}"),
            "`gate.features.weights`: absent.h5 cannot be read: No such file or directory",
        ),
    ):
        result = tailgan(root, folder, "many", *what)
        assert result.returncode == 2 and message in result.stderr, result.stderr
        assert "Traceback" not in result.stderr
