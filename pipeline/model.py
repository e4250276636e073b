"""`tailgan model`: the networks that a configuration makes, layer by layer, and what they cost."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from components.example_gen.sources import open_source
from models.errors import UserError
from pipeline.config import Config, ConfigError


@dataclass(frozen=True)
class Row:
    """A layer: its name and kind, the shape of its output for one image, and its parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Network:
    """A network.

    Attributes:
      layers: from the input to the output.
      parameters: numbers that training or its statistics change.
      flops: floating point operations of a forward pass of one image, see `models.networks.costs`.
    """

    layers: list[Row]
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """Both networks, and the memory of a training step in bytes: `fixed_bytes` + `bytes_per_image` x batch size.

    Attributes:
      batch_size: images a step; None where it is the whole training set.
      step_bytes: the memory for it; None where the batch size is.
    """

    network: str
    image_shape: tuple[int, int, int]
    classes: int
    generator: Network
    discriminator: Network
    fixed_bytes: int
    bytes_per_image: int
    batch_size: int | None
    step_bytes: int | None

    def as_dict(self) -> dict:
        """As JSON takes it."""
        return dataclasses.asdict(self)


def number_of_classes(config: Config, where: Callable[[str], str]) -> int:
    """Classes that the source of the images has.

    Raises:
      ConfigError: if the source cannot be opened.
    """
    try:
        return len(open_source(config.data).classes)
    except UserError as fault:
        place = where(fault.key or "data")
        raise ConfigError(f"{place}: {fault}; without the images, give the number of classes: --classes N") from None


def summarize(config: Config, classes: int) -> Summary:
    """Builds the networks and looks at them; nothing is trained."""
    import keras

    from models.networks import build_networks
    from models.networks.costs import step_memory

    options = config.gan
    image_shape = (*config.data.image_size, config.data.channels)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(options.precision)
    try:
        unlabelled = config.data.unlabelled is not None
        generator, discriminator = build_networks(options, image_shape, classes, [1.0] * classes, unlabelled)
        memory = step_memory(generator, discriminator, options)
        networks = _network(generator), _network(discriminator)
    finally:
        keras.config.set_dtype_policy(policy)
    batch_size = None if options.batch_size == "all" else options.batch_size
    step_bytes = None if batch_size is None else memory.fixed + memory.per_image * batch_size
    return Summary(
        options.network, image_shape, classes, *networks, memory.fixed, memory.per_image, batch_size, step_bytes
    )


def _network(network) -> Network:
    import keras

    from models.networks.costs import forward_flops

    rows = []
    for layer in network.layers:
        shape = keras.tree.flatten(layer.output)[0].shape[1:]
        rows.append(Row(layer.name, type(layer).__name__, tuple(shape), layer.count_params()))
    return Network(rows, network.count_params(), forward_flops(network))


def show(summary: Summary) -> None:
    """Prints a summary as tables."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    size = " x ".join(map(str, summary.image_shape))
    console.print(f"{summary.network}, images {size}, {summary.classes} classes")
    for title, network in (("Generator", summary.generator), ("Discriminator", summary.discriminator)):
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_footer=True)
        table.add_column("layer", "forward pass of one image")
        table.add_column("output", f"{_si(network.flops)}FLOPs")
        table.add_column("parameters", f"{network.parameters:,}", justify="right")
        for row in network.layers:
            shape = " x ".join(map(str, row.shape)) or "1"
            table.add_row(row.kind, shape, f"{row.parameters:,}" if row.parameters else "")
        console.print()
        console.print(table)
    fixed, per_image = _si(summary.fixed_bytes), _si(summary.bytes_per_image)
    console.print("Memory of a training step, estimated, TensorFlow itself not counted:")
    console.print(
        f"  {fixed}B of weights, their average, gradients and optimizers, and {per_image}B of activations an image"
    )
    if summary.step_bytes is not None:
        console.print(f"  {_si(summary.step_bytes)}B with {summary.batch_size} images a step")


def _si(value: float) -> str:
    """A number with three digits and the prefix of its unit.

    >>> _si(950), _si(1_234_567)
    ('950 ', '1.23 M')
    """
    for prefix in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:,.3g} T"
