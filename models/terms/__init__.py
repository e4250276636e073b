"""Terms that are added to an adversarial loss, one a module; any of them combine.

A module of this package is a term by its name: adding a file adds a key to `gan.terms`. It has
  `Options`: its keys, a pydantic model; its docstring is the term's description;
  `build(options, setting) -> Term`: the term itself.
Modules import TensorFlow within `build`, because a configuration is checked without it.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from models.batch import Batch, Context

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@dataclass(frozen=True)
class Term:
    """What is added to a loss; either side may be missing.

    Attributes:
      discriminator: (real, fake, context) -> scalar, added to the discriminator's loss, its weight included. Spread
        over devices, it is this device's part: the parts are added up.
      generator: (real, fake, context) -> scalar, added to the generator's; `real.outputs` may be empty.
      variables: state that it keeps between steps; part of the checkpoint.
    """

    discriminator: "Callable[[Batch, Batch, Context], tf.Tensor] | None" = None
    generator: "Callable[[Batch, Batch, Context], tf.Tensor] | None" = None
    variables: "Sequence[tf.Variable]" = ()


@dataclass(frozen=True)
class Setting:
    """What a term may know of the training it is part of.

    Attributes:
      classes: number of classes, K.
      discriminator: the network that is trained.
      helper: a frozen classifier, images [n, H, W, C] float32 in [-1, 1] -> (logits [n, K], features); trained when
        first asked for, and never the judge.
    """

    classes: int
    discriminator: "keras.Model"
    helper: "Callable[[], keras.Model]"


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def _options() -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (_module(name).Options | None, Field(None, description=_module(name).Options.__doc__)) for name in NAMES
    }
    return create_model(
        "TermsOptions",
        __doc__="Terms added to the loss; a term that is named takes part.",
        __config__=ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False),
        **fields,
    )


TermsOptions: Any = _options()


def build_terms(options: Any, setting: Setting) -> dict[str, Term]:
    """The terms that a configuration names, by name.

    Args:
      options: TermsOptions.
      setting: of the training.
    """
    chosen = {name: getattr(options, name) for name in NAMES}
    return {name: _module(name).build(own, setting) for name, own in chosen.items() if own is not None}
