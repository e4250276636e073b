"""Images of a folder as principal components."""

import numpy as np
import pytest
from PIL import Image

from metrics.pixels import fit, pixel_features, read_folder, reduced


def images(n, seed, shape=(6, 5, 1)):
    return np.random.default_rng(seed).integers(0, 256, size=(n, *shape), dtype=np.uint8)


def save(folder, pixels, names="{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(pixels):
        Image.fromarray(image.squeeze()).save(folder / names.format(index))


@pytest.mark.parametrize("n", [10, 200])
def test_components_are_the_principal_ones(n):
    """Below and above as many images as pixels; distances are kept when all components are."""
    real, fake = images(n, 0), images(8, 1)
    a, b = pixel_features(real, fake, components=30)
    assert a.shape == (n, min(30, n - 1)) and b.shape[1] == a.shape[1]
    assert (np.diff(a.var(axis=0)) <= 1e-9).all()
    flat = real.reshape(n, -1) / 255
    np.testing.assert_allclose(
        np.linalg.norm(a[1:] - a[0], axis=1), np.linalg.norm(flat[1:] - flat[0], axis=1), rtol=1e-9
    )


def test_equal_images_have_features_of_zeros():
    same = np.repeat(images(1, 0, (20, 20, 1)), 7, axis=0)
    a, b = pixel_features(same, images(7, 1, (20, 20, 1)))
    assert a.shape == (7, 1) and abs(a).max() < 1e-12 and np.isfinite(b).all()


def test_folders_are_read_whole_and_in_order(tmp_path):
    pixels = images(4, 0, (6, 5, 3))
    save(tmp_path / "a", pixels[:2])
    save(tmp_path / "b" / "c", pixels[2:])
    (tmp_path / "notes.txt").write_text("not an image")
    np.testing.assert_array_equal(read_folder(tmp_path), pixels)


def test_large_images_are_reduced_with_antialiasing(tmp_path):
    stripes = np.zeros((2, 256, 128, 1), np.uint8)
    stripes[:, ::2] = 255
    save(tmp_path, stripes)
    reduced = read_folder(tmp_path)
    assert reduced.shape == (2, 64, 32, 1)
    assert abs(reduced.astype(int) - 127).max() < 20


def test_what_differs_is_named(tmp_path):
    save(tmp_path, images(2, 0))
    save(tmp_path, images(1, 0, (7, 5, 1)), "z{}.png")
    with pytest.raises(ValueError, match=r"z0\.png is 5 x 7 pixels in grey and .*0\.png 5 x 6 pixels in grey"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="grey and generated ones 5 x 6 pixels in colour"):
        pixel_features(images(3, 0), images(3, 0, (6, 5, 3)))


def test_what_cannot_be_read_is_named(tmp_path):
    save(tmp_path, images(2, 0))
    (tmp_path / "broken.png").write_bytes((tmp_path / "0.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"broken\.png cannot be read"):
        read_folder(tmp_path)


def test_empty_folders(tmp_path):
    with pytest.raises(ValueError, match="has 0 images"):
        read_folder(tmp_path)


def test_axes_are_found_once_and_applied_to_any_images():
    real, fake = images(40, 0), images(8, 1)
    axes = fit(real, components=5)
    both = pixel_features(real, fake, components=5)
    np.testing.assert_array_equal(axes.apply(fake), both[1])
    np.testing.assert_allclose(axes.directions.T @ axes.directions, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(axes.apply(real).mean(axis=0), 0, atol=1e-12)
    with pytest.raises(ValueError, match="both must be of one kind"):
        axes.apply(images(2, 0, (6, 5, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_memory_are_reduced_as_those_in_files_are(tmp_path, channels):
    pixels = images(3, 0, (200, 100, channels))
    save(tmp_path, pixels)
    np.testing.assert_array_equal(reduced(pixels), read_folder(tmp_path))
    assert reduced(pixels[:, :64, :64]).shape == (3, 64, 64, channels)
