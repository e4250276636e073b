"""Options of the tasks that Kubeflow Pipelines makes of the nodes."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline import store_address

# The nodes that train, and so the only ones that a GPU is asked for.
TRAINERS = ("Judge", "GAN")

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IMAGE = re.compile(r"[a-z0-9]+([a-zA-Z0-9._:/-]*[a-zA-Z0-9])?(@sha256:[0-9a-f]{64})?")
_CPU = r"^([0-9]*\.)?[0-9]+m?$"
_BYTES = r"^[0-9]+([KMGTPE]i?)?$"


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise ValueError(
            f"`{name}` is no name of a Kubernetes object: lower-case letters, digits, `-` and `.`, beginning and "
            "ending with a letter or a digit, at most 253 characters"
        )
    return name


def _folder(path: str) -> str:
    if not re.fullmatch(r"(/[^/\[\]*?]+)+", path) or ".." in path.split("/"):
        raise ValueError(f"`{path}` is no absolute path of a folder, without `..`, a `/` at the end or any of [ ] * ?")
    return path


Name = Annotated[str, AfterValidator(_name)]
Folder = Annotated[str, AfterValidator(_folder)]


class Toleration(BaseModel):
    """A taint of machines that a task may run on all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(description="Key of the taint.")
    operator: Literal["Equal", "Exists"] = Field("Exists", description="`Equal` compares the value too.")
    value: str | None = Field(None, description="Value of the taint, for `Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; all of them if not given."
    )

    @model_validator(mode="after")
    def _value_fits(self) -> "Toleration":
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("`Equal` needs a `value`, and `Exists` has none")
        return self


class Accelerator(BaseModel):
    """Accelerators of a task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field("nvidia.com/gpu", description="Name of the resource in the cluster.")
    count: int = Field(1, ge=1, description="How many of them.")


class NodeOptions(BaseModel):
    """What the task of a node asks of the cluster; what is not given here holds as it is given a level above."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    cpu: str | None = Field(None, pattern=_CPU, description="Cores, requested and at most, such as `2` or `500m`.")
    memory: str | None = Field(None, pattern=_BYTES, description="Memory, requested and at most, such as `4Gi`.")
    accelerator: Accelerator | None = Field(None, description="Only of the nodes that train: Judge and GAN.")
    tolerations: tuple[Toleration, ...] | None = Field(
        None, description="Taints that it may run in spite of: a list of `{key, operator, value, effect}`."
    )
    retries: int | None = Field(None, ge=0, le=100, description="How often a task that failed is started again.")
    retry_seconds: int | None = Field(
        None, ge=0, le=3600, description="Seconds until the first retry; doubled for each further one, up to an hour."
    )


_BUILT_IN = NodeOptions(tolerations=(), retries=3, retry_seconds=30)


class KubeflowOptions(BaseModel):
    """How `tailgan compile` makes a pipeline for Kubeflow Pipelines: one task a node, all on one volume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field("tailgan", description="Image of all tasks; by digest, or what runs may change under the name.")
    ir_folder: Folder = Field(
        "/opt/tailgan", description="Folder of the image that has the compiled graph, `<name>.ir.json`."
    )
    pvc: Name = Field("tailgan", description="Name of the PersistentVolumeClaim; many tasks mount it at once.")
    mount: Folder = Field(
        "/data", description="Where tasks have the volume. The root is `<mount>/<name>`; paths in `data` are theirs."
    )
    metadata_uri: str = Field(
        "mysql://tailgan@tailgan-metadata:3306/tailgan",
        description="Metadata store: `mysql://user@host:port/database`, or `sqlite:////path` on the volume.",
    )
    metadata_secret: Name | None = Field(
        "tailgan-metadata", description="Secret whose key `password` is the store's; null where there is none."
    )
    defaults: NodeOptions = Field(
        NodeOptions(), description="What holds for every node. Built in are 3 retries, 30 s, and no request at all."
    )
    trainers: NodeOptions = Field(NodeOptions(), description="What holds for the nodes that train: Judge and GAN.")
    nodes: dict[str, NodeOptions] = Field({}, description="What holds for one node, by its id; the keys of `defaults`.")

    @field_validator("image")
    @classmethod
    def _image_is_one(cls, image: str) -> str:
        if not _IMAGE.fullmatch(image):
            raise ValueError(f"`{image}` is no image, such as `registry/tailgan:0.1` or `registry/tailgan@sha256:...`")
        return image

    @field_validator("metadata_uri")
    @classmethod
    def _store_is_one(cls, uri: str) -> str:
        store_address.parse(uri)
        return uri

    @model_validator(mode="after")
    def _accelerators_train(self) -> "KubeflowOptions":
        others = {"defaults": self.defaults, **{f"nodes.{n}": o for n, o in self.nodes.items() if n not in TRAINERS}}
        if idle := [key for key, options in others.items() if options.accelerator]:
            raise ValueError(
                f"`{idle[0]}.accelerator` would lie idle: only {' and '.join(TRAINERS)} train; give it to `trainers`"
            )
        return self

    def of_node(self, node_id: str) -> NodeOptions:
        """All that holds for a node; what is None there is asked of nobody."""
        levels = [_BUILT_IN, self.defaults]
        levels += [self.trainers] if node_id in TRAINERS else []
        levels += [self.nodes[node_id]] if node_id in self.nodes else []
        given = {field: value for level in levels for field, value in level if value is not None}
        return NodeOptions(**given)
