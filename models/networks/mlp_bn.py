"""A GAN of dense layers whose generator is batch-normalized, by class unless the options say otherwise.

The builders are those of `mlp`; what differs is what they are given where the configuration leaves the choice, see
`models.networks.options.FAMILIES`.
"""

from models.networks.mlp import discriminator, generator

__all__ = ["discriminator", "generator"]
