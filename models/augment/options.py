"""The `gan.augment` section. Plain Python: a configuration is checked without TensorFlow."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OperationsOptions(BaseModel):
    """What may be done to an image, and how much; what is not listed is not done."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="Mirror half of the images. Not for digits or letters."
    )
    crop: float = Field(0.0, ge=0, le=0.9, description="Cut off up to this part of each side, and resize back.")
    shift: float = Field(0.0, ge=0, le=0.5, description="Shift by whole pixels, up to this part of the side.")
    rotation: float = Field(0.0, ge=0, le=180, description="Rotate by up to so many degrees, either way.")
    brightness: float = Field(0.0, ge=0, le=1, description="Add up to so much, either way; black is -1 and white 1.")
    contrast: float = Field(
        0.0, ge=0, le=1, description="Scale the distance to the image's mean by a factor in 1 ± this."
    )
    saturation: float = Field(
        0.0, ge=0, le=1, description="Scale each pixel's distance to its grey by a factor in 1 ± this."
    )
    cutout: float = Field(0.0, ge=0, lt=1, description="Blank a box whose sides are this part of the image's.")

    def chosen(self) -> list[str]:
        """Names of the operations that do something."""
        return [name for name, strength in self if strength not in (0, "none")]


class AdaOptions(BaseModel):
    """How `policy: ada` finds the probability of its operations."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    target: float = Field(
        0.2,
        gt=-1,
        lt=1,
        description="Mean sign of the discriminator's logits of real images that is aimed at; 0.6 in the paper, whose "
        "discriminator is not spectrally normalized.",
    )
    kimg: float = Field(
        50.0, gt=0, description="The probability can go from 0 to 1 while so many thousand real images are seen."
    )
    max_probability: float = Field(
        0.8, gt=0, le=1, description="Upper limit; near 1, the generator learns the augmentation too."
    )


# Nothing here mirrors. DiffAugment's are those of its paper; ADA's come near to the strengths of its own.
_DEFAULT_OPERATIONS = {
    "none": OperationsOptions(),
    "classic": OperationsOptions(shift=0.125),
    "diffaugment": OperationsOptions(shift=0.125, brightness=0.5, contrast=0.5, saturation=1.0, cutout=0.5),
    "ada": OperationsOptions(crop=0.2, shift=0.125, rotation=10.0, brightness=0.2, contrast=0.5, saturation=1.0),
}


class AugmentOptions(BaseModel):
    """Augmentation of what the discriminator sees."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    policy: Literal["none", "classic", "diffaugment", "ada"] = Field(
        "none",
        description="`classic`: real images only, so that the generator learns what was done to them; `diffaugment`: "
        "real and generated ones alike (Zhao et al. 2020); `ada`: alike, with a probability that follows how much the "
        "discriminator overfits (Karras et al. 2020).",
    )
    operations: OperationsOptions | None = Field(
        None,
        description="What may be done to an image, and how much; what is not listed is not done. When empty, what "
        "suits the policy and mirrors nothing, see docs/training.md.",
    )
    tail_focus: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much more often rare classes are augmented: 0, all alike; 1, in proportion to the rarity of "
        "the class. The rarest class is always augmented as without it.",
    )
    ada: AdaOptions = Field(AdaOptions(), description=AdaOptions.__doc__)

    @model_validator(mode="after")
    def _keys_fit_the_policy(self) -> "AugmentOptions":
        if self.policy != "ada" and self.ada != AdaOptions():
            raise ValueError(f"`ada` is for `policy: ada`, not `{self.policy}`")
        if self.policy == "none" and (self.operations is not None or self.tail_focus):
            raise ValueError("operations need a `policy`: classic, diffaugment or ada")
        if self.operations is not None and not self.operations.chosen():
            raise ValueError(
                "`operations` lists nothing to do; leave it out for what suits the policy, or choose from "
                f"{', '.join(OperationsOptions.model_fields)}"
            )
        if self.policy == "classic" and self.effective_operations.cutout:
            raise ValueError("`cutout` in real images only would teach the generator to make holes")
        return self

    @property
    def effective_operations(self) -> OperationsOptions:
        """The operations listed, or else those of the policy."""
        return self.operations or _DEFAULT_OPERATIONS[self.policy]


def check_operations(options: AugmentOptions, image_shape: Sequence[int]) -> None:
    """Accepts operations that do something to images [H, W, C].

    Raises:
      ValueError: naming the operation that can do nothing. What was not listed by hand is left out silently.
    """
    if options.operations is None:
        return
    height, width, channels = image_shape
    if options.operations.saturation and channels == 1:
        raise ValueError("`saturation`: grey images have none")
    for name in ("shift", "cutout"):
        part = getattr(options.operations, name)
        if part and part * max(height, width) < 0.5:
            raise ValueError(f"`{name}`: {part:g} of {max(height, width)} pixels is less than half a pixel")
