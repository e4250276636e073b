"""The `classifier` and `gan` sections of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ClassifierOptions(BaseModel):
    """The judge: the classifier whose features and labels every figure of the evaluation rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(1200, ge=1, description="Training steps.")
    batch_size: int = Field(64, ge=1, description="Images a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate of Adam, decayed by a cosine to zero.")
    width: int = Field(16, ge=4, description="Channels of the first convolution, doubled at each halving of the image.")
    features: int = Field(64, ge=2, description="Dimension of the feature vector that FID and KID are computed on.")
    shift: float = Field(0.125, ge=0, le=0.5, description="Augmentation: largest shift, as a part of the side.")
    flip: bool = Field(False, description="Augmentation: mirror left and right. Not for digits or letters.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before the last layer.")


class AdamOptions(BaseModel):
    """Adam (Kingma & Ba 2015)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(4e-4, gt=0, description="Step size.")
    beta_1: float = Field(0.5, ge=0, lt=1, description="Decay of the mean of the gradients.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Decay of the mean of their squares.")


class GANOptions(BaseModel):
    """The generator, the discriminator, and how they are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Literal["dcgan"] = Field("dcgan", description="Family of networks.")
    width: int = Field(24, ge=4, description="Channels next to the image, doubled at each halving of the image.")
    latent_dim: int = Field(64, ge=1, description="Dimension of z ~ N(0, 1).")
    loss: Literal["non_saturating", "hinge"] = Field(
        "hinge", description="`non_saturating` (Goodfellow et al. 2014, cross-entropy) or `hinge` (Lim & Ye 2017)."
    )
    steps: int = Field(2000, ge=1, description="Generator steps.")
    batch_size: int = Field(64, ge=1, description="Images a step.")
    generator_optimizer: AdamOptions = Field(AdamOptions(), description="Optimiser of the generator.")
    discriminator_optimizer: AdamOptions = Field(AdamOptions(), description="Optimiser of the discriminator.")
    ema_decay: float = Field(
        0.999, ge=0, lt=1, description="Decay of the averaged generator, the one that is exported; warmed up."
    )
    fake_labels: Literal["data", "uniform", "power"] = Field(
        "data",
        description="Labels of generated images in training: as in the rebalanced data, uniform, or proportional to "
        "n^fake_labels_alpha of the data before rebalancing.",
    )
    fake_labels_alpha: float = Field(0.5, ge=0, le=1, description="Exponent of `fake_labels: power`.")
    checkpoint_every: int = Field(500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="How many checkpoints are kept.")
