"""The `gate.features` section of a configuration."""

from pydantic import BaseModel, ConfigDict, Field


class FeaturesOptions(BaseModel):
    """The network whose features distances are taken in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("judge", description="Name of the network.")
