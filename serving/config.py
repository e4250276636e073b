"""TensorFlow Serving's configuration files: models, batching, monitoring. All are protocol buffers in text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.errors import ServingError, invalid

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions of a model are to be served: all, the newest ones, or these."""

    all: bool = False
    latest: int = 1
    specific: tuple[int, ...] = ()

    def pick(self, found: Sequence[int]) -> list[int]:
        """Of the versions that are there, those to be served, newest first."""
        if self.specific:
            return sorted(set(found) & set(self.specific), reverse=True)
        newest_first = sorted(found, reverse=True)
        return newest_first if self.all else newest_first[: self.latest]


@dataclass(frozen=True)
class ModelConfig:
    """A model: its name, the directory of its versions, which of them to serve, and the labels of some."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are batched; the names and defaults are TensorFlow Serving's.

    Attributes:
      max_batch_size: rows of a batch; a larger request is refused.
      batch_timeout_micros: how long the first request of a batch waits for others.
      max_enqueued_batches: of a queue; what comes then is refused.
      num_batch_threads: batches that run at once.
      allowed_batch_sizes: a batch is padded to one of these; none means it is not padded.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()


def one_model(name: str, base_path: str) -> dict[str, ModelConfig]:
    """The configuration of `--model_name` and `--model_base_path`."""
    return {name: ModelConfig(name, _absolute(name, base_path))}


def read_models(file: Path) -> dict[str, ModelConfig]:
    """The models of a `--model_config_file`, by name.

    Raises:
      ServingError: if it cannot be read or says something impossible.
    """
    return models_of(_read(file, ModelServerConfig()))


def models_of(config: ModelServerConfig) -> dict[str, ModelConfig]:
    """The models of a configuration, by name.

    Raises:
      ServingError: if it says something impossible.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        name = entry.name
        if not entry.model_platform and not entry.model_type:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {name}"
            )
        if name in models:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
        if not name:
            raise invalid("Illegal to list a model without a name in config list")
        base_path = _absolute(name, entry.base_path)
        if entry.model_platform not in ("", "tensorflow"):
            raise invalid(
                "Illegal to change a model's platform. For model "
                f"{name} platform was tensorflow and new platform requested is {entry.model_platform}"
            )
        models[name] = ModelConfig(name, base_path, _policy(entry), dict(entry.version_labels))
    return models


def _policy(entry) -> VersionPolicy:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        if not policy.specific.versions:
            raise invalid(f"model {entry.name}: a specific version policy names at least one version")
        return VersionPolicy(specific=tuple(policy.specific.versions))
    if kind == "latest" and policy.latest.num_versions:
        return VersionPolicy(latest=policy.latest.num_versions)
    return VersionPolicy(all=kind == "all")


def _absolute(name: str, base_path: str) -> Path:
    if not base_path.startswith("/"):
        raise invalid(f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}")
    return Path(base_path)


def read_batching(file: Path) -> BatchingParameters:
    """A `--batching_parameters_file`; what it does not give has its default.

    Raises:
      ServingError: if it cannot be read or says something impossible.
    """
    parsed = _read(file, _MESSAGES["BatchingParameters"]())
    given = {}
    for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"):
        if parsed.HasField(name):
            given[name] = value = getattr(parsed, name).value
            if value < (0 if name == "batch_timeout_micros" else 1):
                raise invalid(f"{file}: {name} must be positive; was {value}")
    parameters = BatchingParameters(**given, allowed_batch_sizes=tuple(parsed.allowed_batch_sizes))
    sizes = parameters.allowed_batch_sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != parameters.max_batch_size):
        raise invalid(
            f"{file}: allowed_batch_sizes must grow, and end with max_batch_size ({parameters.max_batch_size})"
        )
    return parameters


def read_metrics_path(file: Path) -> str | None:
    """Where a `--monitoring_config_file` wants the metrics; None if it does not.

    Raises:
      ServingError: if it cannot be read or says something impossible.
    """
    prometheus = _read(file, _MESSAGES["MonitoringConfig"]()).prometheus_config
    if not prometheus.enable:
        return None
    if prometheus.path and not prometheus.path.startswith("/"):
        raise invalid(f"{file}: path: {prometheus.path} does not begin with a slash")
    return prometheus.path or METRICS_PATH


def _read(file: Path, into: message.Message):
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), into)
    except OSError as error:
        raise ServingError("NOT_FOUND", f"{file}; {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid protobuf file: '{file}': {error}") from None


def _messages() -> dict[str, type[message.Message]]:
    """Those of TensorFlow Serving's messages that tensorflow-serving-api leaves out."""
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = {
        "Int64Value": [("value", 1, kinds.TYPE_INT64)],
        "StringValue": [("value", 1, kinds.TYPE_STRING)],
        "BatchingParameters": [
            ("max_batch_size", 1, "Int64Value"),
            ("batch_timeout_micros", 2, "Int64Value"),
            ("max_enqueued_batches", 3, "Int64Value"),
            ("num_batch_threads", 4, "Int64Value"),
            ("thread_pool_name", 5, "StringValue"),
            ("allowed_batch_sizes", 6, kinds.TYPE_INT64),
        ],
        "PrometheusConfig": [("enable", 1, kinds.TYPE_BOOL), ("path", 2, kinds.TYPE_STRING)],
        "MonitoringConfig": [("prometheus_config", 1, "PrometheusConfig")],
    }
    package = "tailgan.serving"
    file = descriptor_pb2.FileDescriptorProto(name="tailgan/serving.proto", package=package, syntax="proto3")
    for name, members in fields.items():
        described = file.message_type.add(name=name)
        for field_name, number, kind in members:
            label = kinds.LABEL_REPEATED if field_name == "allowed_batch_sizes" else kinds.LABEL_OPTIONAL
            member = described.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                member.type, member.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                member.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in fields}


_MESSAGES = _messages()
