"""One YAML file is one experiment: the typed, validated configuration of a whole run.

Each section is defined in the room that uses it; here they are put together, read and explained. Nothing in this
module or below it imports TensorFlow, so that a fault in a configuration is told at once.
"""

import difflib
import reprlib
import typing
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.evaluator.options import GateOptions
from components.example_gen.options import DataOptions
from components.rebalancer.options import RebalanceOptions
from components.serving_validator.options import ValidationOptions
from models.augment.options import check_operations
from models.classifier_options import ClassifierOptions
from models.options import GANOptions
from pipeline.beam_options import PORTABLE, BeamOptions
from pipeline.kubeflow_options import KubeflowOptions

Location = tuple[int | str, ...]

# A value in a message: a few lines of YAML can stand for gigabytes.
_short = reprlib.Repr()
_short.maxlevel, _short.maxstring = 2, 60


class ConfigError(Exception):
    """A fault in a configuration or on the command line; the message says what, where, and what is allowed."""


class _KeyFault(ValueError):
    """What does not fit together, found when all sections are known; `key` is the one to change."""

    def __init__(self, message: str, key: str):
        super().__init__(message)
        self.key = key


class ServingOptions(BaseModel):
    """Where a blessed generator is pushed to."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(
        "generator",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of the served model; versions are pushed to `<root>/serving/<name>/<version>`.",
    )
    validation: ValidationOptions = Field(ValidationOptions(), description=ValidationOptions.__doc__)


class RetentionOptions(BaseModel):
    """What is kept of older runs when a run has come to its end; `tailgan clean` does the same by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    runs: int | None = Field(
        None,
        ge=1,
        description="So many runs, and pushed versions, are kept, the newest; all of them when empty. What serves, the "
        "best version and what other runs are at work on always stay (docs/operations.md).",
    )


class Config(BaseModel):
    """One experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(
        "", pattern=r"^[A-Za-z0-9_.-]*$", description="Name of the pipeline; the configuration file's stem when empty."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the training of judge and GAN.")
    data: DataOptions = Field(DataOptions(), description=DataOptions.__doc__)
    rebalance: RebalanceOptions = Field(RebalanceOptions(), description=RebalanceOptions.__doc__)
    classifier: ClassifierOptions = Field(ClassifierOptions(), description=ClassifierOptions.__doc__)
    gan: GANOptions = Field(GANOptions(), description=GANOptions.__doc__)
    gate: GateOptions = Field(GateOptions(), description=GateOptions.__doc__)
    serving: ServingOptions = Field(ServingOptions(), description=ServingOptions.__doc__)
    retention: RetentionOptions = Field(RetentionOptions(), description=RetentionOptions.__doc__)
    beam: BeamOptions = Field(BeamOptions(), description=BeamOptions.__doc__)
    kubeflow: KubeflowOptions = Field(KubeflowOptions(), description=KubeflowOptions.__doc__)

    @model_validator(mode="after")
    def _gan_fits_the_data(self) -> "Config":
        try:
            check_operations(self.gan.augment, (*self.data.image_size, self.data.channels))
        except ValueError as error:
            raise _KeyFault(str(error), "gan.augment.operations") from None
        if self.gan.missing == "mask" and self.data.missing_pixels is None:
            raise _KeyFault("`mask` needs `data.missing_pixels`, which says what marks a missing pixel", "gan.missing")
        if self.gan.missing == "mask" and self.gan.augment.policy == "classic":
            raise _KeyFault(
                "`classic` would move the missing pixels of real images away from those hidden in generated ones "
                "(`gan.missing: mask`); choose diffaugment or ada",
                "gan.augment.policy",
            )
        return self

    @model_validator(mode="after")
    def _workers_find_the_files(self) -> "Config":
        paths = {
            "data.root": self.data.root,
            "data.data_dir": self.data.data_dir,
            "gate.features.weights": self.gate.features.weights,
        }
        for key, path in paths.items():
            if self.beam.runner == PORTABLE and path and not Path(path).is_absolute():
                raise _KeyFault(f"`{path}` is relative, and workers of {PORTABLE} may run in another folder", key)
        return self

    def as_yaml(self) -> str:
        """The resolved configuration; reading it gives an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration file.

    Args:
      path: a YAML file.
      overrides: `dotted.path=value` each, the value in YAML; they win over the file.

    Raises:
      ConfigError: all faults at once, each with file, line and key (or the override it is in).
    """
    values, where = _read(Path(path), overrides)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(fault, where) for fault in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def locate(path: str | Path, overrides: Sequence[str], key: str) -> str:
    """File and line, or the override, that a key such as `data.root` comes from, for messages."""
    _, where = _read(Path(path), overrides)
    return where(tuple(key.split(".")))


def _read(path: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], Callable[[Location], str]]:
    """The values of a file with the overrides put in, and where each comes from."""
    tree, values = _read_yaml(path)
    source: dict[Location, str] = {}
    for text in overrides:
        location, value = _parse_override(text)
        _put(values, location, value, text)
        source[location] = f"--set {text}"
    values.setdefault("name", path.stem)
    return values, partial(_where, path, tree, source)


def _read_yaml(path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The node tree, which knows lines, and the plain values of a file."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where}: not YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    _check_keys(tree, path, set())
    if values is None:
        return None, {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: a configuration is a mapping of sections ({', '.join(Config.model_fields)})")
    return tree, values


def _check_keys(tree: yaml.Node | None, path: Path, visited: set[int]) -> None:
    """Refuses a key that stands twice in a section, of which YAML would take the last without a word.

    Aliases lead to a node again, or round in a circle, so what was visited is kept.
    """
    if isinstance(tree, yaml.MappingNode) and id(tree) not in visited:
        visited.add(id(tree))
        seen: dict[str, int] = {}
        for key, value in tree.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(f"{path}:{line}: key `{key.value}` stands in line {seen[key.value]} already")
            if isinstance(key, yaml.ScalarNode):
                seen[key.value] = line
            _check_keys(value, path, visited)


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: not of the form dotted.path=value")
    try:
        return tuple(key.strip().split(".")), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML: {getattr(error, 'problem', error)}") from None


def _put(values: dict[str, Any], location: tuple[str, ...], value: Any, text: str) -> None:
    for key in location[:-1]:
        below = values.get(key)
        if below is None:
            below = values[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"--set {text}: `{key}` holds a value, not a section")
        values = below
    values[location[-1]] = value


def _where(path: Path, tree: yaml.Node | None, source: dict[Location, str], location: Location) -> str:
    """The override that a place in the configuration comes from, or else file and line."""
    for key, text in source.items():
        if all(a == b for a, b in zip(key, location, strict=False)):
            return text
    line = _line(tree, location)
    return f"{path}:{line}" if line else str(path)


def _explain(fault: Any, where: Callable[[Location], str]) -> str:
    """One line for one fault that pydantic found."""
    # The branch of a union is not a key.
    location: Location = tuple(part for part in fault["loc"] if "[" not in str(part))
    raised = fault.get("ctx", {}).get("error")
    if isinstance(raised, _KeyFault):
        location = tuple(raised.key.split("."))
    key = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        known = _keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean `{'.'.join(map(str, (*location[:-1], near[0])))}`? " if near else ""
        return f"{where(location)}: unknown key `{key}`; {hint}known here: {', '.join(known)}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "model_type":
        message = f"a section of keys ({', '.join(_keys(location))})"
    own = fault["type"] == "value_error" or isinstance(fault["input"], dict | BaseModel)  # the message quotes it itself
    given = "" if own else f", not {_short.repr(fault['input'])}"
    return f"{where(location)}: `{key}`: {message}{given}" if key else f"{where(location)}: {message}"


def _line(node: yaml.Node | None, location: Location) -> int | None:
    """Line (from 1) of the deepest node on the way to `location`."""
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def submodel(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `LongTail | None` or `dict[str, NodeOptions]`; None if it holds none."""
    if inner := typing.get_args(annotation):
        return next(filter(None, map(submodel, inner)), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _keys(location: Location) -> list[str]:
    """Names of the fields at a place in the configuration."""
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part))  # none for a key of a mapping, or a place in a list
        model = (field and submodel(field.annotation)) or model
    return list(model.model_fields)
