"""Augmentation of what the discriminator sees, within the graph of the training step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.augment.options import AugmentOptions, check_operations

if TYPE_CHECKING:
    import numpy as np

    from models.augment.augmentation import Augmentation


def build_augmentation(
    options: AugmentOptions, image_shape: Sequence[int], rarity: "np.ndarray"
) -> "Augmentation | None":
    """The augmentation of the policy that is configured; None for `none`.

    Args:
      options: policy and operations.
      image_shape: (H, W, C).
      rarity: of each class, [K] in (0, 1], see `models.rarity`.

    Raises:
      ValueError: if an operation that is listed can do nothing to such images.
    """
    # Imported here, because the options are read long before TensorFlow is needed.
    from models.augment import policies
    from models.augment.operations import Operations

    check_operations(options, image_shape)
    operations = Operations(options.effective_operations)
    shares = 1.0 - options.tail_focus * (1.0 - rarity)
    match options.policy:
        case "classic":
            return policies.Classic(operations, shares)
        case "diffaugment":
            return policies.DiffAugment(operations, shares)
        case "ada":
            return policies.ADA(operations, shares, options.ada)
    return None
