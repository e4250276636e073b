"""The `gate.features` section of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import UserError

WEIGHTS = "gate.features.weights"

_HDF5 = b"\x89HDF\r\n\x1a\n"


class FeaturesOptions(BaseModel):
    """The network whose features distances between images are taken in."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: Literal["judge", "inception", "pixels"] = Field(
        "judge",
        description="`judge` (the classifier trained on these data), `inception` (Inception v3, trained on ImageNet), "
        "or `pixels` (principal components of the pixels). Figures of different networks compare with nothing.",
    )
    weights: str | None = Field(
        None,
        description="inception: file of weights that Keras has saved (`.h5`, `.weights.h5`), with or without the "
        "classifier on top. Relative to the working directory.",
    )
    download: bool = Field(
        False, description="inception: let Keras download its ImageNet weights where no file is given."
    )

    @model_validator(mode="after")
    def _weights_are_those_of_the_network(self) -> "FeaturesOptions":
        if self.network != "inception":
            if self.weights is not None or self.download:
                raise ValueError(f"`weights` and `download` are for `network: inception`, not `{self.network}`")
        elif (self.weights is None) != self.download:
            raise ValueError("`network: inception` needs either `weights`, a file, or `download: true`")
        return self


def check_weights(path: str) -> None:
    """Looks at a file of weights without loading it.

    Raises:
      UserError: if it is not there, or not one that Keras could have saved.
    """
    if not path.endswith(".h5"):
        raise UserError(f"{path} does not end in .h5 or .weights.h5, as weights do that Keras has saved", key=WEIGHTS)
    try:
        with open(path, "rb") as file:
            start = file.read(len(_HDF5))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", key=WEIGHTS) from None
    if start != _HDF5:
        raise UserError(f"{path} is no HDF5 file, in which Keras saves weights", key=WEIGHTS)
