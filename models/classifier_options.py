"""The `classifier` section of a configuration."""

from pydantic import BaseModel, ConfigDict, Field


class ClassifierOptions(BaseModel):
    """The judge: the classifier whose features and labels every figure of the evaluation rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(1200, ge=1, description="Training steps.")
    batch_size: int = Field(64, ge=1, description="Images a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate of Adam, decayed by a cosine to zero.")
    width: int = Field(16, ge=4, description="Channels of the first convolution, doubled at each halving of the image.")
    features: int = Field(64, ge=2, description="Dimension of the feature vector that FID and KID are computed on.")
    shift: float = Field(0.125, ge=0, le=0.5, description="Augmentation: largest shift, as a part of the side.")
    flip: bool = Field(False, description="Augmentation: mirror left and right. Not for digits or letters.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before the last layer.")
