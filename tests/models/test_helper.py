"""The helper classifier: good enough to help, trained once, the same ever after, and not the judge."""

import numpy as np
import pytest

from models import helper as helper_module
from models.data import Examples, to_float
from models.helper import WEIGHTS_FILE, accuracy, helper
from models.options import GANOptions

QUICK = 4  # steps, for tests that ask nothing of its quality


def logits(network, images):
    return network(to_float(images), training=False)[0].numpy()


def test_it_knows_the_classes_and_is_frozen_and_no_copy_of_the_judge(digits, balanced, judge, tmp_path):
    network = helper(tmp_path, balanced, 10, seed=0, steps=GANOptions().helper_steps)
    said = logits(network, digits.eval.images).argmax(1)
    assert accuracy(network, digits.eval) == np.mean(said == digits.eval.labels) > 0.9
    assert network.trainable_variables == []
    assert [v.shape for v in network.variables] != [v.shape for v in judge.network.variables]


def test_it_is_trained_once_and_read_exactly(digits, tmp_path, monkeypatch):
    first = helper(tmp_path / "new", digits.train, 10, seed=0, steps=QUICK)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [WEIGHTS_FILE]
    monkeypatch.delattr(helper_module, "train")
    again = helper(tmp_path / "new", digits.train, 10, seed=0, steps=QUICK)
    assert again.trainable_variables == []
    for one, other in zip(first.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_equal_seeds_train_equal_weights_and_others_do_not(digits, tmp_path):
    one, same, other = (
        logits(helper(tmp_path / name, digits.train, 10, seed, QUICK), digits.eval.images[:20])
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_images_without_a_label_are_left_out(digits, tmp_path):
    train = digits.train
    hidden = Examples(
        images=np.concatenate([train.images, 255 - train.images]),
        labels=np.concatenate([train.labels, np.full_like(train.labels, -1)]),
        weights=np.tile(train.weights, 2),
        ids=np.tile(train.ids, 2),
    )
    one = helper(tmp_path / "a", train, 10, seed=0, steps=QUICK)
    other = helper(tmp_path / "b", hidden, 10, seed=0, steps=QUICK)
    np.testing.assert_array_equal(logits(one, train.images[:20]), logits(other, train.images[:20]))


def test_a_helper_whose_writing_failed_leaves_nothing_behind(digits, tmp_path, monkeypatch):
    def fails(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(helper_module, "move_whole", fails)
    with pytest.raises(OSError, match="disk full"):
        helper(tmp_path, digits.train, 10, seed=0, steps=QUICK)
    assert list(tmp_path.iterdir()) == []
