"""LeCam regularization (Tseng et al. 2021, eq. 6): for little data, logits may not run away."""

from pydantic import BaseModel, ConfigDict, Field

from models.terms import Setting, Term


class Options(BaseModel):
    """LeCam (Tseng et al. 2021), for little data: holds logits to the moving average of the other side's."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float = Field(0.3, gt=0, description="Times the mean squared excess.")
    decay: float = Field(0.99, ge=0, lt=1, description="Decay of the moving averages, a step of the discriminator.")
    start_step: int = Field(1000, ge=0, description="The term begins after this step of the generator.")


def build(options: Options, setting: Setting) -> Term:
    """discriminator: weight (E relu(D(x) - mean_fake)^2 + E relu(mean_real - D(G(z)))^2), weighted.

    The means are moving averages of the logits and include those of the step, as in the authors' code. Up to
    `start_step` they are the step's own, so that they start without a bias.
    """
    import tensorflow as tf

    from models.batch import Batch, Context
    from models.losses import shares, weighted_mean
    from models.replicas import global_sum, state

    averages = {side: state(0.0, tf.float32, f"lecam_{side}") for side in ("real", "fake")}

    def follow(average: tf.Variable, side: Batch, decay: tf.Tensor) -> tf.Tensor:
        mean = tf.stop_gradient(global_sum(shares(side.weights) * side.outputs["logit"]))
        moved = decay * average + (1.0 - decay) * mean
        average.assign(moved)
        return moved

    def penalty(real: Batch, fake: Batch, context: Context) -> tf.Tensor:
        has_begun = tf.cast(context.step > options.start_step, tf.float32)
        mean_real = follow(averages["real"], real, has_begun * options.decay)
        mean_fake = follow(averages["fake"], fake, has_begun * options.decay)
        excess = weighted_mean(tf.nn.relu(real.outputs["logit"] - mean_fake) ** 2, real.weights)
        excess += weighted_mean(tf.nn.relu(mean_real - fake.outputs["logit"]) ** 2, fake.weights)
        return has_begun * options.weight * excess

    return Term(discriminator=penalty, variables=tuple(averages.values()))
