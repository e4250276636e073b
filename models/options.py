"""The `gan` section of a configuration."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from models.augment.options import AugmentOptions
from models.networks.options import FAMILIES, DiscriminatorOptions, GeneratorOptions, LatentOptions, completed
from models.terms import TermsOptions

# The arguments of its own that each of Keras's optimizers takes.
OPTIMIZER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "adam": ("beta_1", "beta_2"),
    "adamw": ("beta_1", "beta_2", "weight_decay"),
    "nadam": ("beta_1", "beta_2"),
    "sgd": ("momentum",),
    "rmsprop": ("rho", "momentum"),
    "adagrad": (),
}


class OptimizerOptions(BaseModel):
    """One of Keras's optimizers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["adam", "adamw", "nadam", "sgd", "rmsprop", "adagrad"] = Field("adam", description="Which one.")
    learning_rate: float = Field(4e-4, gt=0, description="Step size at the first step.")
    schedule: Literal["constant", "linear", "cosine", "exponential"] = Field(
        "constant",
        description="How the step size changes: not at all; to 0 at the last step, in a line or in half a cosine; or "
        "by halves, `halvings` times in all.",
    )
    halvings: float = Field(3.0, gt=0, description="`schedule: exponential`: halvings of the step size in all.")
    beta_1: float | None = Field(None, ge=0, lt=1, description="adam, adamw, nadam: decay of the mean; 0.5 when empty.")
    beta_2: float | None = Field(
        None, ge=0, lt=1, description="adam, adamw, nadam: decay of the mean square; 0.999 when empty."
    )
    momentum: float | None = Field(None, ge=0, lt=1, description="sgd, rmsprop: momentum; 0 when empty.")
    rho: float | None = Field(None, ge=0, lt=1, description="rmsprop: decay of the mean square; 0.9 when empty.")
    weight_decay: float | None = Field(None, ge=0, description="adamw: decoupled weight decay; 0.004 when empty.")
    clip_value: float | None = Field(None, gt=0, description="Clip each component of the gradient to so much.")
    clip_global_norm: float | None = Field(None, gt=0, description="Scale the whole gradient down to this norm.")

    @model_validator(mode="after")
    def _takes_its_arguments(self) -> "OptimizerOptions":
        takes = OPTIMIZER_ARGUMENTS[self.name]
        known = {name for names in OPTIMIZER_ARGUMENTS.values() for name in names}
        wrong = sorted(name for name in known - {*takes} if getattr(self, name) is not None)
        if wrong:
            allowed = ", ".join(takes) or "none of its own"
            raise ValueError(f"`{wrong[0]}` is no argument of {self.name}, which takes {allowed}")
        return self


class MonitorOptions(BaseModel):
    """What is looked at in training besides the losses."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    every: int = Field(500, ge=1, description="Steps between two looks, rounded up to whole calls of 50 steps.")
    overfitting_ceiling: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Warn where the discriminator rates a training image above a held-out one of its class with a "
        "larger probability: 0.5 is no overfitting, 1 knowing all images by heart.",
    )
    diversity_floor: float = Field(
        0.3,
        ge=0,
        description="Warn of a class whose generated images differ from one another less than this part of what its "
        "training images do.",
    )


class FilterOptions(BaseModel):
    """The signature `filtered`: only images that the helper classifier takes for what was asked for; or null."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    candidates: int = Field(8, ge=1, le=64, description="Images drawn for one request at most.")
    threshold: float = Field(
        0.5, ge=0, lt=1, description="Least probability of the class asked for, which must be the likeliest too."
    )


class WarmStartOptions(BaseModel):
    """Go on from the training of the generator that serves, where one does and it fits; or null (docs/training.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(ge=1, description="Generator steps then, in place of `gan.steps`.")


class ExportOptions(BaseModel):
    """What the exported generator offers to callers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    filter: FilterOptions | None = Field(FilterOptions(), description=FilterOptions.__doc__)


def _own_values(key: str) -> str:
    """What the families take for a key that is empty, in words."""
    return "When empty: " + ", ".join(f"{getattr(own, key)} for `{name}`" for name, own in FAMILIES.items()) + "."


def _on_or_off(value: object) -> object:
    """YAML 1.1 reads these two words as booleans."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class GANOptions(BaseModel):
    """The generator, the discriminator, and how they are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: Literal["mlp", "mlp_bn", "dcgan", "vgg", "resnet"] = Field(
        "dcgan",
        description="Family of networks: dense layers, the same with a batch-normalized generator, strided "
        "convolutions, stacks of 3x3 convolutions, or residual blocks.",
    )
    width: int | None = Field(
        None,
        ge=4,
        description="Channels next to the image, doubled at each halving of the image up to eightfold; of MLPs, units "
        "of a hidden layer. " + _own_values("width"),
    )
    depth: int | None = Field(
        None,
        ge=1,
        description="Layers of each stage (`dcgan`, `vgg`: convolutions; `resnet`: residual blocks); of MLPs, hidden "
        "layers. " + _own_values("depth"),
    )
    latent: LatentOptions = Field(LatentOptions(), description=LatentOptions.__doc__)
    generator: GeneratorOptions = Field(GeneratorOptions(), description=GeneratorOptions.__doc__)
    discriminator: DiscriminatorOptions = Field(DiscriminatorOptions(), description=DiscriminatorOptions.__doc__)
    loss: Literal["minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic", "acgan"] = (
        Field("hinge", description="Adversarial loss, see docs/training.md.")
    )
    terms: TermsOptions = Field(TermsOptions(), description=TermsOptions.__doc__)
    augment: AugmentOptions = Field(AugmentOptions(), description=AugmentOptions.__doc__)
    helper_steps: int = Field(
        400,
        ge=1,
        description="Training steps of the helper classifier, for `terms.class_balance` and `export.filter`.",
    )
    missing: Literal["interpolate", "mask"] = Field(
        "interpolate",
        description="Missing pixels: filled from their neighbours before training, or hidden in generated images as "
        "they are in real ones (AmbientGAN, Bora et al. 2018), so that the generator makes whole images.",
    )
    steps: int = Field(2000, ge=1, description="Generator steps.")
    warm_start: WarmStartOptions | None = Field(None, description=WarmStartOptions.__doc__)
    batch_size: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        64, description="Images a step; `all`: the whole training set, which is plain gradient descent."
    )
    discriminator_steps: int = Field(
        1, ge=1, le=20, description="Steps of the discriminator, each on a batch of its own, for one of the generator."
    )
    generator_optimizer: OptimizerOptions = Field(OptimizerOptions(), description="Optimiser of the generator.")
    discriminator_optimizer: OptimizerOptions = Field(OptimizerOptions(), description="Optimiser of the discriminator.")
    clip_weights: float | None = Field(
        None,
        gt=0,
        description="Clip the discriminator's weights to [-c, c] after each of its steps (Arjovsky et al. 2017).",
    )
    ema_decay: float = Field(
        0.999, ge=0, lt=1, description="Decay of the averaged generator, the one that is exported; warmed up."
    )
    fake_labels: Literal["data", "uniform", "power"] | dict[str, Annotated[float, Field(ge=0)]] = Field(
        "data",
        description="Labels of generated images in training: as in the rebalanced data, uniform, proportional to "
        "n^fake_labels_alpha of the data before rebalancing, or shares by class name.",
    )
    fake_labels_alpha: float = Field(0.5, ge=0, le=1, description="Exponent of `fake_labels: power`.")
    checkpoint_every: int = Field(500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="How many checkpoints are kept.")
    on_divergence: Literal["stop", "rollback"] = Field(
        "stop",
        description="When a loss is no longer a number: stop, or go back to the last checkpoint at half the learning "
        "rates, three times at most.",
    )
    monitor: MonitorOptions = Field(MonitorOptions(), description=MonitorOptions.__doc__)
    strategy: Literal["none", "mirrored"] = Field(
        "none",
        description="`mirrored`: spread each batch over all devices of this machine (tf.distribute); with "
        "`discriminator_steps: 1`, the results are those of one device, up to rounding.",
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field("float32", description="Number format of the layers.")
    jit: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        "auto", description="Compile with XLA; `auto`: where there is a GPU."
    )
    cache_megabytes: int = Field(
        2048, ge=0, description="Training images are decoded once and kept in memory up to so much; beyond, streamed."
    )

    export: ExportOptions = Field(ExportOptions(), description=ExportOptions.__doc__)

    @model_validator(mode="after")
    def _networks_fit_together(self) -> "GANOptions":
        heads = "`discriminator.conditioning: acgan`"
        acgan = self.discriminator.conditioning == "acgan"
        if self.loss == "acgan" and not acgan:
            raise ValueError(f"`loss: acgan` trains the discriminator to name the class, and needs {heads}")
        if acgan and self.loss != "acgan":
            raise ValueError(f"{heads} makes a second head, which no loss but `acgan` trains; not `loss: {self.loss}`")
        generator = completed(self).generator
        if generator.conditioning == "conditional_batch_norm" and self.generator.norm not in (None, "batch"):
            raise ValueError(
                f"`generator.norm: {self.generator.norm}` has no place where `generator.conditioning` is "
                "conditional_batch_norm, which normalizes; choose `embedding`, `concat` or `none`"
            )
        if self.latent.tail_noise and generator.conditioning == "none":
            raise ValueError("`latent.tail_noise` needs a class to act on; not with `generator.conditioning: none`")
        return self

    @model_validator(mode="after")
    def _loss_fits(self) -> "GANOptions":
        smooth = self.discriminator.spectral_norm or self.terms.gradient_penalty or self.terms.r1
        if self.loss == "wasserstein" and not smooth and self.clip_weights is None:
            raise ValueError(
                "`loss: wasserstein` needs a discriminator that is held smooth, by `terms: {gradient_penalty: {}}`, "
                "`discriminator.spectral_norm: true` or `clip_weights`"
            )
        if self.clip_weights is not None and self.discriminator.spectral_norm:
            raise ValueError(
                "`clip_weights` does nothing to kernels that are divided by their norm; set "
                "`discriminator.spectral_norm: false`"
            )
        if self.augment.policy == "ada" and self.loss in ("least_squares", "wasserstein", "relativistic"):
            raise ValueError(
                "`augment.policy: ada` reads overfitting from the sign of logits, which means nothing with "
                f"`loss: {self.loss}`; take diffaugment, or minimax, non_saturating, hinge or acgan"
            )
        return self
