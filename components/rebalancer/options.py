"""The `rebalance` section of a configuration."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Strategy = Literal["none", "oversample", "undersample", "power", "effective_number"]
WeightKind = Literal["none", "inverse", "effective_number"]


class RebalanceOptions(BaseModel):
    """How often each class is seen in training, and with which loss weight."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    strategy: Strategy | dict[str, Annotated[int, Field(ge=1)]] = Field(
        "power",
        description="`none`; `oversample` (every class to the largest); `undersample` (to the smallest); `power` "
        "(n_max^(1-alpha) n^alpha); `effective_number` (proportional to (1-beta^n)/(1-beta), the largest class kept "
        "whole); or `{class: count}`, where classes left out keep their count.",
    )
    alpha: float = Field(0.5, ge=0, le=1, description="`power`: 1 leaves the counts as they are, 0 makes them equal.")
    beta: float = Field(
        0.999, ge=0, lt=1, description="`effective_number`, of resampling and of weights (Cui et al. 2019, eq. 2)."
    )
    class_weights: WeightKind = Field(
        "none", description="Loss weights from the counts *after* resampling; their mean over the examples is 1."
    )
    seed: int = Field(0, ge=0, description="Which images are thinned out, and which repeated once more.")
