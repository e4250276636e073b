"""Pairs of networks, generator and discriminator, one family a module.

A family is a module with two builders, and an entry in `models.networks.options.FAMILIES`:
  `generator(options, image_shape, classes, rarity)`: Keras model, (z [n, d] float32, labels [n] int64) -> images
    [n, H, W, C] float32 in [-1, 1].
  `discriminator(options, image_shape, classes, unlabelled)`: Keras model, (images [n, H, W, C] float32, labels [n]
    int64, -1 where it is not told) -> {`logit`: [n] float32, high means real; `features`: [n, d] float32}, and with
    the conditioning `acgan` also `class_logits` [n, K] float32.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from models.networks.options import completed

if TYPE_CHECKING:
    import keras

    from models.options import GANOptions


def _families() -> dict[str, ModuleType]:
    # Imported here, because a configuration is checked with `models.networks.options` long before TensorFlow is needed.
    from models.networks import dcgan, mlp, mlp_bn, resnet, vgg

    return {"mlp": mlp, "mlp_bn": mlp_bn, "dcgan": dcgan, "vgg": vgg, "resnet": resnet}


def build_networks(
    options: "GANOptions",
    image_shape: tuple[int, int, int],
    classes: int,
    rarity: Sequence[float] | None = None,
    unlabelled: bool = False,
) -> tuple["keras.Model", "keras.Model"]:
    """The generator and discriminator of the family that `options.network` names.

    Initial weights and all that dropout and rare-class noise draw follow from `keras.utils.set_random_seed`.

    Args:
      options: kind and size of the networks.
      image_shape: (H, W, C).
      classes: number of classes, K.
      rarity: of each class, K numbers in (0, 1], see `models.rarity`; `latent.tail_noise` needs it.
      unlabelled: whether the discriminator meets images without a label (-1). Where its logits depend on the label,
        theirs then come from a head of their own, and train nothing that belongs to a class.

    Raises:
      ValueError: if the family is unknown, or rarity is missing or not K numbers.
    """
    families = _families()
    if options.network not in families:
        raise ValueError(f"unknown network `{options.network}`; known: {', '.join(families)}")
    if options.latent.tail_noise and (rarity is None or len(rarity) != classes):
        raise ValueError(f"`latent.tail_noise` needs the rarity of each of the {classes} classes, not {rarity}")
    family, options = families[options.network], completed(options)
    return (
        family.generator(options, image_shape, classes, rarity),
        family.discriminator(options, image_shape, classes, unlabelled),
    )
