"""The `gate` section of a configuration."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.evaluator.rules import known_figure, parse_rule


class GateOptions(BaseModel):
    """When a generator is good enough to be pushed, and not worse than what serves."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rules: tuple[str, ...] = Field(
        ("label_agreement >= 0.9", "worst.label_agreement_ratio >= 0.8"),
        description="Each `FIGURE OPERATOR NUMBER`, such as `fid <= 2.0`; all must hold. No rule, no blessing.",
    )
    not_worse: dict[str, float] = Field(
        {"kid": 0.02, "label_agreement": 0.02},
        description="Figures compared with what serves now, each with the margin by which it may be worse.",
    )
    samples_per_class: int = Field(200, ge=2, description="Generated images a class for the figures of single classes.")
    seed: int = Field(0, ge=0, description="Seed of the generated images and of the halves of the null.")

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
            if known_figure(figure) and margin < 0:
                raise ValueError(f"the margin of `{figure}` must be at least 0, not {margin:g}")
        return margins
