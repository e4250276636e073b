"""What shapes the networks, in the `gan` section. Plain Python: a configuration is checked without TensorFlow."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from models.options import GANOptions

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Initializer = Literal["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "orthogonal", "normal_0.02"]
GeneratorConditioning = Literal["conditional_batch_norm", "embedding", "concat", "none"]
Norm = Literal["batch", "layer", "none"]


@dataclass(frozen=True)
class Family:
    """What a family of networks takes where the configuration leaves a key empty.

    Attributes:
      width: as `gan.width`.
      depth: as `gan.depth`.
      conditioning: of the generator.
      norm: of the generator, where the conditioning brings none.
    """

    width: int
    depth: int
    conditioning: GeneratorConditioning = "conditional_batch_norm"
    norm: Norm = "batch"


FAMILIES = {
    "mlp": Family(width=256, depth=2, conditioning="concat", norm="none"),
    "mlp_bn": Family(width=256, depth=3),
    "dcgan": Family(width=24, depth=1),
    "vgg": Family(width=24, depth=2),
    "resnet": Family(width=32, depth=1),
}


class LatentOptions(BaseModel):
    """What the generator starts from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dim: int = Field(64, ge=1, description="Dimension of z ~ N(0, 1).")
    tail_noise: float = Field(
        0.0,
        ge=0,
        description="Rare-class noise: in training, standard deviation of the noise on what a class adds to the "
        "generator, for the rarest class; less for classes of more images, almost none for large ones.",
    )


class LayerOptions(BaseModel):
    """What both networks have."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dropout: float = Field(0.0, ge=0, lt=1, description="Part of the hidden activations dropped in training.")
    l1: float = Field(0.0, ge=0, description="Weight of the sum of |w| over all kernels.")
    l2: float = Field(0.0, ge=0, description="Weight of the sum of w^2 over all kernels.")
    initializer: Initializer = Field("glorot_uniform", description="Initial kernels.")


class GeneratorOptions(LayerOptions):
    """The generator's layers."""

    conditioning: GeneratorConditioning | None = Field(
        None,
        description="How the label enters: gain and bias of the batch normalization belong to the class "
        "(`conditional_batch_norm`), z is multiplied by an embedding of it, its one-hot code stands beside z "
        "(`concat`), or not at all. When empty: `concat` for `mlp`, `conditional_batch_norm` for the others.",
    )
    norm: Norm | None = Field(
        None,
        description="Normalization of hidden layers. Not together with `conditional_batch_norm`, which is one. When "
        "empty: `none` for `mlp`, `batch` for the others.",
    )
    spectral_norm: bool = Field(False, description="Divide each kernel by its largest singular value.")
    activation: Activation = Field("relu", description="Activation of hidden layers.")


class DiscriminatorOptions(LayerOptions):
    """The discriminator's layers."""

    conditioning: Literal["projection", "concat", "acgan", "none"] = Field(
        "projection",
        description="How the label enters: a product of its embedding with the features, a learned code of it as "
        "additional channels of the image (`concat`), by a second head that names the class (with `loss: acgan`), or "
        "not at all.",
    )
    norm: Norm = Field("none", description="Normalization of hidden layers but the first.")
    joint_batch: bool = Field(
        True, description="Real and generated images in one pass, which is faster; not with `norm: batch`."
    )
    spectral_norm: bool = Field(True, description="Divide each kernel by its largest singular value.")
    activation: Activation = Field("leaky_relu", description="Activation of hidden layers.")

    @model_validator(mode="after")
    def _statistics_of_one_kind(self) -> "DiscriminatorOptions":
        if self.norm == "batch" and self.joint_batch:
            raise ValueError(
                "`norm: batch` with real and generated images in one batch shows the discriminator which is which by "
                "the statistics of the batch, and it learns nothing of the label; set `joint_batch: false`, or "
                "`norm: layer` or `none`"
            )
        return self


def completed(options: "GANOptions") -> "GANOptions":
    """The options with the family's own values where width, depth or the generator's layers leave it the choice."""
    family = FAMILIES[options.network]
    own = {"conditioning": family.conditioning, "norm": family.norm}
    empty = {name: value for name, value in own.items() if getattr(options.generator, name) is None}
    return options.model_copy(
        update={
            "width": options.width or family.width,
            "depth": options.depth or family.depth,
            "generator": options.generator.model_copy(update=empty),
        }
    )
