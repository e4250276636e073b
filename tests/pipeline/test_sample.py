"""Where `tailgan sample` puts images."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sample import _folders


@pytest.mark.parametrize(
    ("classes", "folders"),
    [
        (["good", "bad tile"], ["good", "bad tile"]),
        (["a/b", "a_b"], ["a_b_0", "a_b_1"]),
        (["a/b", "a_b", "a_b_0"], ["a_b_0_", "a_b_1", "a_b_0"]),
        (["..", "/etc", "a\\b", ""], ["__0", "_etc", "a_b", "__3"]),
    ],
)
def test_folders_are_named_after_classes(classes, folders):
    assert _folders(classes) == folders


@given(st.lists(st.text("ab_/\\.01", max_size=6), unique=True, max_size=12))
def test_no_two_classes_share_a_folder_and_none_leads_elsewhere(classes):
    folders = _folders(classes)
    assert len(set(folders)) == len(classes)
    assert all(Path("out", folder).resolve().parent == Path("out").resolve() for folder in folders)
