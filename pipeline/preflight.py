"""What can be known of data, files and commands before TFX is loaded and a node is launched."""

from collections.abc import Callable

from components.evaluator.features_options import check_weights
from components.example_gen.sources import open_source
from components.rebalancer.strategies import check_names
from components.serving_validator.server import require_docker
from models.errors import UserError
from pipeline.beam_options import host_and_port
from pipeline.config import Config, ConfigError
from pipeline.network import reach

_KEYS = {"digits": "data.source", "tfds": "data.dataset", "image_folder": "data.root"}


def check(config: Config, where: Callable[[str], str]) -> None:
    """Opens the source of the images, holds the class names in the configuration against it, looks for what is named.

    A job server of Beam is looked for too, though a run whose nodes are all cached would not call it.

    Args:
      config: the experiment.
      where: from a key such as `data.root` to where it was read (see `pipeline.config.locate`).

    Raises:
      ConfigError: with file and line, if the source is not there or not laid out as it should be, a class is not, a
        file of weights is none, Docker is asked for and is not there, or a job server cannot be reached.
    """
    try:
        source = open_source(config.data)
        for key, value in (
            ("rebalance.strategy", config.rebalance.strategy),
            ("gan.fake_labels", config.gan.fake_labels),
        ):
            if isinstance(value, dict):
                check_names(value, source.classes, key)
        if config.gate.features.weights:
            check_weights(config.gate.features.weights)
        if config.serving.validation.server == "docker":
            require_docker()
    except UserError as fault:
        raise ConfigError(f"{where(fault.key or _KEYS[config.data.source])}: {fault}") from None
    if config.beam.job_endpoint:
        try:
            reach(*host_and_port(config.beam.job_endpoint)).close()
        except ConfigError as fault:
            raise ConfigError(f"{where('beam.job_endpoint')}: `beam.job_endpoint`: {fault}") from None
