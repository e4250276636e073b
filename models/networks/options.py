"""What shapes the networks, in the `gan` section. Plain Python: a configuration is checked without TensorFlow."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Initializer = Literal["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "orthogonal", "normal_0.02"]


class LatentOptions(BaseModel):
    """What the generator starts from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(64, ge=1, description="Dimension of z ~ N(0, 1).")
    tail_noise: float = Field(
        0.0,
        ge=0,
        description="Rare-class noise: in training, standard deviation of the noise on what a class adds to the "
        "generator, for the rarest class; less for classes of more images, almost none for large ones.",
    )


class _LayerOptions(BaseModel):
    """What both networks have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dropout: float = Field(0.0, ge=0, lt=1, description="Part of the activations dropped in training.")
    l1: float = Field(0.0, ge=0, description="Weight of the sum of |w| over all kernels.")
    l2: float = Field(0.0, ge=0, description="Weight of the sum of w^2 over all kernels.")
    initializer: Initializer = Field("glorot_uniform", description="Initial kernels.")


class GeneratorOptions(_LayerOptions):
    """The generator's layers."""

    conditioning: Literal["conditional_batch_norm", "embedding", "concat", "none"] = Field(
        "conditional_batch_norm",
        description="How the label enters: gain and bias of the batch normalisation belong to the class, z is "
        "multiplied by an embedding of it, its one-hot code stands beside z, or not at all.",
    )
    norm: Literal["batch", "layer", "none"] = Field(
        "batch", description="Normalisation, where `conditioning` brings none."
    )
    spectral_norm: bool = Field(False, description="Divide each kernel by its largest singular value.")
    activation: Activation = Field("relu", description="Activation.")


class DiscriminatorOptions(_LayerOptions):
    """The discriminator's layers."""

    conditioning: Literal["projection", "concat", "acgan", "none"] = Field(
        "projection",
        description="How the label enters: a product of its embedding with the features, as additional channels of "
        "the image, by a second head that names the class (with `loss: acgan`), or not at all.",
    )
    norm: Literal["none", "layer", "batch"] = Field("none", description="Normalisation.")
    spectral_norm: bool = Field(True, description="Divide each kernel by its largest singular value.")
    activation: Activation = Field("leaky_relu", description="Activation.")
