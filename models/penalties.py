"""What penalties on the discriminator's gradient by the image have in common."""

from collections.abc import Callable

import tensorflow as tf

from models.batch import Context


def squared_gradient_norms(context: Context, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Squared norm of the gradient of each logit by its own image; itself differentiable.

    Args:
      context: of the step; the discriminator is called without a change of its variables.
      images: [n, H, W, C] float32.
      labels: [n] int64.

    Returns:
      [n] float32.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = context.discriminate(images, labels)["logit"]
    # Logits depend on no image but their own, so the gradient of their sum holds that of each.
    return tf.reduce_sum(tf.square(tape.gradient(logits, images)), axis=(1, 2, 3))


def lazily(every: int, context: Context, values: Callable[[], tf.Tensor], count: tf.Tensor) -> tf.Tensor:
    """`every` times the values in each `every`-th step of the discriminator, the first one included; 0 in the others.

    The gradients of many steps thus keep their sum (Karras et al. 2020, appendix B, "lazy regularization").

    Args:
      every: 1 or more.
      context: of the step.
      values: makes [n] float32; must not sum over devices, which `tf.cond` does not allow.
      count: n.

    Returns:
      [n] float32.
    """
    if every == 1:
        return values()
    is_due = context.discriminator_step % every == 0
    return tf.cond(is_due, lambda: every * values(), lambda: tf.zeros([count]))
