"""The `gan.augment` section. Plain Python: a configuration is checked without TensorFlow."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AugmentOptions(BaseModel):
    """Augmentation of what the discriminator sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["none", "classic", "diffaugment", "ada"] = Field("none", description="Kind of augmentation.")
