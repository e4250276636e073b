"""A prepared TensorFlow data set, long-tailed, to its report."""

import pytest

pytestmark = pytest.mark.e2e


def test_fashion_mnist_ends_with_a_report(root, data):
    if not (data / "tfds" / "fashion_mnist").is_dir():
        pytest.skip(f"no Fashion-MNIST below {data / 'tfds'}")
    result = root.run("fashion_mnist_lt.yaml", f"data.data_dir={data / 'tfds'}", "gan.steps=20", "classifier.steps=50")
    assert result.returncode in (0, 3), result.stdout + result.stderr
    rows = list(root.report()["per_class"].values())
    counts = [row["train_real"] for row in rows]
    tail = [int(6000 * 100 ** (-i / 9)) for i in range(10)]
    assert counts[1:] == tail[1:] and 5900 < counts[0] <= 6000  # some T-shirts are duplicates
    assert sum(row["eval_real"] for row in rows) > 9900
