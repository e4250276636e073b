"""The `data` section of a configuration: where images come from and how they are split."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, field_validator, model_validator


def _pair(value: object) -> object:
    """One number means a square."""
    return (value, value) if isinstance(value, int) else value


Size = Annotated[tuple[int, int], BeforeValidator(_pair)]


# Stands in a path for the number of a span, as in TFX.
SPAN = "{SPAN}"

Level = Annotated[StrictInt, Field(ge=0, le=255)]
MissingPixels = Literal["transparent"] | StrictInt | tuple[Level, Level, Level]


class LongTail(BaseModel):
    """An induced long tail: class i of K (in label order) keeps int(n_max * ratio ** (-i / (K - 1)))."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    imbalance_ratio: float = Field(ge=1, description="Images of the largest class for each image of the smallest.")


class DataOptions(BaseModel):
    """Where images come from, how they are brought to one size, and how they are split."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Literal["digits", "tfds", "image_folder"] = Field(
        "digits", description="`digits` (scikit-learn's scanned digits, no download), `tfds`, or `image_folder`."
    )
    root: str | None = Field(
        None,
        description="image_folder: the folder, laid out as `class/*` or `split/class/*`. Relative to the working "
        "directory. `{SPAN}` in it stands for the numbers of folders that are read together (docs/data.md).",
    )
    spans: int | None = Field(
        None, ge=1, description="image_folder: only so many of the folders that `{SPAN}` stands for, the newest."
    )
    dataset: str | None = Field(
        None, description="tfds: name of an image-classification builder, such as `cifar10` or `fashion_mnist:3.*.*`."
    )
    data_dir: str | None = Field(None, description="tfds: where prepared data sets lie; TFDS's own default when empty.")
    unlabelled: str | None = Field(
        None,
        description="image_folder: name of a folder in `root` whose images have no class. They are in the train split "
        "only, and counted in no class.",
    )
    image_size: Size = Field((8, 8), description="Height and width in pixels after ingest; one number means a square.")
    channels: Literal[1, 3] = Field(1, description="1 = grey, 3 = RGB. Images of another mode are converted.")
    resize: Literal["crop", "pad", "squash"] = Field(
        "crop",
        description="How another aspect ratio is brought to `image_size`: cut the centre, pad with black, or distort.",
    )
    missing_pixels: MissingPixels | None = Field(
        None,
        description="Which pixels are missing: `transparent` ones, or those of a value or a color `[r, g, b]` in the "
        "files' own range. None are when empty, and transparent ones are black.",
    )
    eval_fraction: float = Field(
        0.2, gt=0, lt=1, description="Part of the images held out (where the source has no split of its own)."
    )
    min_eval_per_class: int = Field(5, ge=1, description="At least so many images of each class are held out.")
    min_train_per_class: int = Field(
        1, ge=1, description="Stop when a class has fewer images to train on, before a long tail is thinned."
    )
    group_by: str | None = Field(
        None,
        description="Regular expression searched in the file name; images with the same match (its first group, if it "
        "has one) show one object and stay in one split.",
    )
    long_tail: LongTail | None = Field(
        None, description="Thin the train split to an exponential long tail, after splitting."
    )
    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="Stop when more than this part of the files cannot be read."
    )
    max_pixels: int = Field(
        50_000_000, ge=1, le=10**10, description="Files with more pixels are quarantined, not decoded."
    )
    max_seconds: float = Field(
        30,
        gt=0,
        le=86_400,
        description="Files that take longer to decode are quarantined. 50 million pixels take 1 to 15 s.",
    )
    schema_file: str | None = Field(
        None,
        description="A TensorFlow Metadata schema (.pbtxt) to hold the data against; inferred from the data when "
        "empty.",
    )
    seed: int = Field(
        0,
        ge=0,
        description="Seed of the split and of the thinning; kept apart from the run's seed so that runs share their "
        "eval split.",
    )

    @field_validator("image_size")
    @classmethod
    def _positive(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not all(4 <= side <= 512 for side in value):
            raise ValueError(f"sides must be 4 to 512 pixels, not {value[0]} x {value[1]}")
        return value

    @field_validator("unlabelled")
    @classmethod
    def _names_one_folder(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip(".") or "/" in value):
            raise ValueError(f"the name of one folder in `data.root`, not {value!r}")
        return value

    @field_validator("group_by")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _source_is_complete(self) -> "DataOptions":
        needed = {"image_folder": "root", "tfds": "dataset"}.get(self.source)
        if needed and not getattr(self, needed):
            raise ValueError(f"source `{self.source}` needs `data.{needed}`")
        return self

    @model_validator(mode="after")
    def _span_stands_once(self) -> "DataOptions":
        count = (self.root or "").count(SPAN)
        if count > 1:
            raise ValueError(f"{SPAN} may stand once in `data.root`, not {count} times: {self.root}")
        if self.spans is not None and not (count and self.source == "image_folder"):
            raise ValueError(f"`data.spans` needs a folder of images with {SPAN} in `data.root`, such as in/{SPAN}")
        return self
