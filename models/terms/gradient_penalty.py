"""The gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3): the discriminator is to have slope 1."""

import logging

from pydantic import BaseModel, ConfigDict, Field

from models.terms import Setting, Term

_EPSILON = 1e-12  # the square root has no derivative at 0

log = logging.getLogger("tailgan")


class Options(BaseModel):
    """Gradient penalty (Gulrajani et al. 2017): the slope of the discriminator is to be 1 between real and fake."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float = Field(10.0, gt=0, description="Times the mean squared distance of the slope from 1.")
    every: int = Field(1, ge=1, description="Only in every so many steps of the discriminator, times that number.")


def build(options: Options, setting: Setting) -> Term:
    """discriminator: weight E (||grad_x D(x, y)|| - 1)^2.

    x lies at a random place between a real and a generated image, as the discriminator sees them; y is the label of
    the real one, and so is the example's weight.
    """
    import tensorflow as tf

    from models.batch import Batch, Context
    from models.losses import weighted_mean
    from models.networks.layers import has_batch_statistics
    from models.penalties import lazily, squared_gradient_norms
    from models.replicas import draw_rows

    if has_batch_statistics(setting.discriminator):
        log.warning(
            "gan.terms.gradient_penalty: the discriminator has batch normalization, so a logit depends on the other "
            "images of its batch and its slope is not defined; the slope under the moving statistics is taken. "
            "`gan.discriminator.norm: layer` has no such fault (Gulrajani et al. 2017, section 4)"
        )

    def penalty(real: Batch, fake: Batch, context: Context) -> tf.Tensor:
        count = tf.shape(real.labels)[0]
        place = draw_rows(lambda n: tf.random.stateless_uniform([n, 1, 1, 1], context.seed), count)
        images = real.images + place * (fake.images - real.images)

        def squared_distances() -> tf.Tensor:
            return (tf.sqrt(squared_gradient_norms(context, images, real.labels) + _EPSILON) - 1.0) ** 2

        return options.weight * weighted_mean(lazily(options.every, context, squared_distances, count), real.weights)

    return Term(discriminator=penalty)
