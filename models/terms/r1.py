"""R1 (Mescheder et al. 2018, eq. 9): the discriminator is to be flat where the real images are."""

from pydantic import BaseModel, ConfigDict, Field

from models.terms import Setting, Term


class Options(BaseModel):
    """R1 (Mescheder et al. 2018): the squared norm of the discriminator's gradient at real images."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gamma: float = Field(10.0, gt=0, description="Half of it times the mean squared norm is added.")
    every: int = Field(
        16, ge=1, description="Only in every so many steps of the discriminator, times that number (StyleGAN2)."
    )


def build(options: Options, setting: Setting) -> Term:
    """discriminator: gamma / 2 E ||grad_x D(x)||^2 over real images, weighted."""
    import tensorflow as tf

    from models.batch import Batch, Context
    from models.losses import weighted_mean
    from models.penalties import lazily, squared_gradient_norms

    def penalty(real: Batch, fake: Batch, context: Context) -> tf.Tensor:
        squared_norms = lazily(
            options.every,
            context,
            lambda: squared_gradient_norms(context, real.images, real.labels),
            tf.shape(real.labels)[0],
        )
        return options.gamma / 2 * weighted_mean(squared_norms, real.weights)

    return Term(discriminator=penalty)
