"""Missing pixels are filled in from those around them."""

import numpy as np
import pytest
import tensorflow as tf

from models.missing import fill

ROWS, COLUMNS = np.mgrid[:28, :21]
RAMP = np.stack([20 + 4 * ROWS + 3 * COLUMNS, 250 - 5 * ROWS, 7 * COLUMNS + 30], axis=2).astype(np.uint8)[None]


def holes(part, seed=0):
    """Masks [1, 28, 21, 1] with this part of the pixels missing at random."""
    return (np.random.default_rng(seed).random((1, 28, 21, 1)) >= part).astype(np.uint8)


@pytest.mark.parametrize("part", [0.1, 0.3, 0.6])
def test_a_ramp_with_holes_is_restored(part):
    masks = holes(part)
    error = np.abs(fill(RAMP, masks).numpy().astype(int) - RAMP)
    # At the border of an image a slope ends.
    assert error[:, 3:-3, 3:-3].max() <= 1 and error[np.broadcast_to(masks == 0, error.shape)].mean() < 1


def test_a_large_hole_of_a_ramp_is_restored():
    masks = np.ones((1, 28, 21, 1), np.uint8)
    masks[:, 8:20, 5:16] = 0
    assert np.abs(fill(RAMP * masks, masks).numpy().astype(int) - RAMP).max() <= 2


def test_what_is_there_stays_and_what_is_missing_has_no_say():
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 21, 3)).astype(np.uint8)
    masks = np.concatenate([holes(0.5), np.ones((1, 28, 21, 1), np.uint8)])
    filled = fill(images, masks).numpy()
    assert filled.dtype == np.uint8 and np.array_equal(filled * masks, images * masks)
    np.testing.assert_array_equal(fill(np.where(masks > 0, images, 255), masks), filled)


def test_one_pixel_fills_an_image_and_none_makes_it_grey():
    masks = np.zeros((2, 5, 7, 1), np.uint8)
    masks[0, 4, 6] = 1
    filled = fill(np.full((2, 5, 7, 1), 200, np.uint8), masks).numpy()
    assert np.unique(filled[0]).tolist() == [200] and np.unique(filled[1]).tolist() == [128]


def test_it_runs_in_a_graph_as_it_does_eagerly():
    masks = holes(0.4)
    np.testing.assert_array_equal(tf.function(fill)(tf.constant(RAMP), tf.constant(masks)), fill(RAMP, masks))
