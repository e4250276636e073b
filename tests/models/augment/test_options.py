"""What the `gan.augment` section takes and refuses."""

import pytest
from pydantic import ValidationError

from models.augment.options import AugmentOptions, check_operations


@pytest.mark.parametrize("policy", ["classic", "diffaugment", "ada"])
def test_operations_of_a_policy_mirror_nothing_and_do_something(policy):
    operations = AugmentOptions(policy=policy).effective_operations
    assert operations.flip == "none" and operations.chosen()


def test_operations_that_are_listed_stand_alone():
    listed = AugmentOptions(policy="diffaugment", operations={"flip": "horizontal"}).effective_operations
    assert listed.chosen() == ["flip"]


@pytest.mark.parametrize("options", [{}, {"policy": "classic"}, {"policy": "ada", "operations": {"crop": 0.1}}])
def test_what_is_resolved_reads_back_as_the_same(options):
    options = AugmentOptions(**options)
    assert AugmentOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "mixup"}, "'none', 'classic', 'diffaugment' or 'ada'"),
        ({"policy": "classic", "operations": {"mirror": True}}, "mirror"),
        ({"policy": "classic", "operations": {}}, "lists nothing to do.*choose from flip, crop, shift"),
        ({"policy": "ada", "operations": {"flip": "none", "shift": 0}}, "lists nothing to do"),
        ({"operations": {"shift": 0.1}}, "operations need a `policy`: classic, diffaugment or ada"),
        ({"tail_focus": 0.5}, "operations need a `policy`"),
        ({"policy": "classic", "operations": {"cutout": 0.5}}, "teach the generator to make holes"),
        ({"policy": "diffaugment", "ada": {"target": 0.5}}, "`ada` is for `policy: ada`, not `diffaugment`"),
        ({"policy": "ada", "ada": {"kimg": 0}}, "greater than 0"),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        AugmentOptions(**options)


@pytest.mark.parametrize(
    ("operations", "shape", "message"),
    [
        ({"saturation": 0.5}, (8, 8, 1), "`saturation`: grey images have none"),
        ({"shift": 0.05}, (8, 8, 3), "`shift`: 0.05 of 8 pixels is less than half a pixel"),
        ({"cutout": 0.01}, (32, 32, 3), "`cutout`: 0.01 of 32 pixels"),
    ],
)
def test_an_operation_that_can_do_nothing_is_refused(operations, shape, message):
    with pytest.raises(ValueError, match=message):
        check_operations(AugmentOptions(policy="ada", operations=operations), shape)


def test_the_operations_of_a_policy_suit_every_image():
    for policy in ("none", "classic", "diffaugment", "ada"):
        check_operations(AugmentOptions(policy=policy), (4, 4, 1))
