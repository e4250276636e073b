"""The class-balancing regularizer of CBGAN (Rangwani et al. 2021, eq. 5): what is generated is to have every class."""

from pydantic import BaseModel, ConfigDict, Field

from models.terms import Setting, Term

_LEAST = 0.01  # of an equal share: a class that is never seen weighs a hundred times one that has its share


class Options(BaseModel):
    """Class balance (Rangwani et al. 2021): the classes that a classifier sees in generated images are to be equal."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float = Field(
        1.0,
        gt=0,
        description="Times the weighted negative entropy; 10 in the paper, whose generator has no labels.",
    )
    decay: float = Field(0.99, ge=0, lt=1, description="Decay of the moving share of each class, a step.")


def build(options: Options, setting: Setting) -> Term:
    """generator: weight sum_k w_k p_k log p_k.

    p is the mean, weighted, of what the helper classifier takes the generated images for, before augmentation and
    masks; w_k, of mean 1, is proportional to 1 / N_k, and N_k is a moving share of images taken for class k.
    """
    import tensorflow as tf

    from models.batch import Batch, Context
    from models.losses import shares
    from models.replicas import global_sum, replicas, state

    classes, helper = setting.classes, setting.helper()
    seen = state([1.0 / classes] * classes, tf.float32, "class_balance_seen")

    def penalty(real: Batch, fake: Batch, context: Context) -> tf.Tensor:
        logits, _ = helper(fake.raw, training=False)
        share = shares(fake.weights)[:, None]
        p = global_sum(share * tf.nn.softmax(tf.cast(logits, tf.float32)), axis=(0,))
        inverse = 1.0 / tf.maximum(seen, _LEAST / classes)
        inverse /= tf.reduce_mean(inverse)
        taken_for = global_sum(share * tf.one_hot(tf.argmax(logits, axis=-1), classes), axis=(0,))
        seen.assign(options.decay * seen + (1.0 - options.decay) * taken_for)
        # Each device has the whole of it; the parts of all are added up.
        return options.weight * tf.reduce_sum(inverse * p * tf.math.log(p + 1e-8)) / replicas()

    return Term(generator=penalty, variables=(seen,))
