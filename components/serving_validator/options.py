"""The `serving.validation` section of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

BATCH_SIZES = (1, 64)  # images of a request


class ValidationOptions(BaseModel):
    """A server in which a blessed generator is called before it is pushed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    server: Literal["local", "docker", "none"] = Field(
        "local",
        description="The local endpoint, TensorFlow Serving's own image, or none, and the gate alone decides.",
    )
    image: str = Field("tensorflow/serving:2.16.1", min_length=1, description="`server: docker`: the image.")
    timeout_seconds: float = Field(
        120.0, gt=0, le=3600, description="Time for the generator to become available, and for each request."
    )
    max_latency_ms: dict[int, float] = Field(
        {1: 2000.0, 64: 20000.0},
        description="Milliseconds that 19 of 20 requests may take, by the number of images in them: 1, 64 or both.",
    )
    max_memory_mb: float | None = Field(
        4096.0, gt=0, description="Memory of the server at its peak, in MiB (resident); null means no bound."
    )

    @field_validator("max_latency_ms")
    @classmethod
    def _sizes_are_tried(cls, limits: dict[int, float]) -> dict[int, float]:
        if other := [size for size in limits if size not in BATCH_SIZES]:
            raise ValueError(
                f"requests of {other[0]} images are not tried; those of {BATCH_SIZES[0]} and {BATCH_SIZES[1]} are"
            )
        if wrong := [size for size, limit in limits.items() if limit <= 0]:
            raise ValueError(f"the limit for requests of {wrong[0]} images must be above 0")
        return limits
