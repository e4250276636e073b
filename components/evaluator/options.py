"""The `gate` section of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.evaluator.features_options import FeaturesOptions
from components.evaluator.rules import known_figure, parse_rule

COMPARED = ("kid", "kid_relative", "label_agreement")


class GateOptions(BaseModel):
    """When a generator is good enough to be pushed, and not worse than what serves or was the best."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rules: tuple[str, ...] = Field(
        (
            "mean.label_agreement_ratio >= 0.9",
            "worst.label_agreement_ratio >= 0.8",
            "worst.kid_relative <= 0.3",
            "worst.diversity >= 0.4",
            "worst.closest_record_ratio >= 0.4",
            "worst.copied <= 0.3",
        ),
        description="Each `[SCOPE.]FIGURE[.END] OPERATOR NUMBER`, such as `fid <= 2.0` (docs/evaluation.md). All must "
        "hold with their whole intervals. No rule, no blessing.",
    )
    not_worse: dict[str, float] = Field(
        {"kid_relative": 0.1, "label_agreement": 0.1},
        description="Figures (`kid`, `kid_relative`, `label_agreement`) of every class that are compared with those of "
        "what serves and of the best version that ever served, each with the margin by which it may be worse.",
    )
    cannot_tell: Literal["block", "warn"] = Field(
        "block",
        description="What follows where the images are too few to decide a rule or a comparison: no blessing, or a "
        "warning in the report.",
    )
    samples_per_class: int = Field(
        500, ge=2, description="Generated images of a class, at least; as many as it has real ones where that is more."
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples behind intervals, and permutations.")
    resolution: float = Field(
        0.3,
        gt=0,
        description="A class has enough held-out images if a `kid_relative` of this size would be seen in most cases.",
    )
    features: FeaturesOptions = Field(FeaturesOptions(), description="What distances are measured in.")
    seed: int = Field(0, ge=0, description="Seed of the generated images, of resamples and of the halves of the null.")

    @field_validator("rules")
    @classmethod
    def _parse(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            parse_rule(rule)
        return rules

    @field_validator("not_worse")
    @classmethod
    def _known(cls, margins: dict[str, float]) -> dict[str, float]:
        for figure, margin in margins.items():
            if known_figure(figure, COMPARED) and margin < 0:
                raise ValueError(f"the margin of `{figure}` must be at least 0, not {margin:g}")
        return margins
