"""What networks cost: floating point operations and memory, found without training them."""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf

from models.optimizers import Optimizer
from models.options import GANOptions

# Their outputs are their inputs under another shape, and take no memory of their own.
_VIEWS = (keras.layers.InputLayer, keras.layers.Reshape, keras.layers.Flatten)


def forward_flops(network: keras.Model) -> int:
    """Floating point operations of one image or latent vector more in a forward pass.

    As TensorFlow's profiler counts them: a multiplication and an addition are two. What a call costs however many rows
    it has, such as spectral norms, is not part of it.
    """
    return _flops(network, 2) - _flops(network, 1)


def _flops(network: keras.Model, rows: int) -> int:
    specs = [tf.TensorSpec((rows, *tensor.shape[1:]), tensor.dtype) for tensor in network.inputs]
    call = tf.function(lambda *inputs: network(list(inputs), training=False))
    profiler = tf.compat.v1.profiler
    counted = profiler.profile(
        call.get_concrete_function(*specs).graph,
        options=profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build(),
    )
    return counted.total_float_ops


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a training step.

    Attributes:
      fixed: weights of both networks and of the averaged generator, gradients, and the optimizers' own variables.
      per_image: for each image of a batch, activations that are kept until the gradients are known, and what the
        passes themselves take.
    """

    fixed: int
    per_image: int


def step_memory(generator: keras.Model, discriminator: keras.Model, options: GANOptions) -> StepMemory:
    """An estimate of the memory of a training step; see `StepMemory`.

    While the discriminator trains, it holds activations of real and generated images, and the generator those of the
    generated ones. The activations are the outputs of all layers, and the discriminator's largest counts three times:
    besides itself, for its gradient and for that of what it is made from. TensorFlow itself is left out.
    """
    fixed = _bytes(generator.variables)  # the average
    for network, section in (
        (generator, options.generator_optimizer),
        (discriminator, options.discriminator_optimizer),
    ):
        optimizer = Optimizer(section, options.steps)
        optimizer.build(network.trainable_variables)
        fixed += _bytes(network.variables) + _bytes(network.trainable_variables) + _bytes(optimizer.variables)
    of_generator, of_discriminator = _activations(generator), _activations(discriminator)
    return StepMemory(fixed, sum(of_generator) + 2 * (sum(of_discriminator) + 2 * max(of_discriminator)))


def _bytes(variables: list) -> int:
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


def _activations(network: keras.Model) -> list[int]:
    """Bytes of each layer's output for one row."""
    outputs = [
        tensor
        for layer in network.layers
        if not isinstance(layer, _VIEWS)
        for tensor in keras.tree.flatten(layer.output)
    ]
    return [math.prod(tensor.shape[1:]) * tf.as_dtype(tensor.dtype).size for tensor in outputs]
