"""How often each class is seen in training, and with which loss weight. Numbers only: nothing is sampled here."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from components.rebalancer.options import RebalanceOptions, WeightKind
from models.errors import UserError


def target_counts(options: RebalanceOptions, counts: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    """Resolves a strategy to the number of training examples of each class.

    >>> target_counts(RebalanceOptions(strategy="power", alpha=0.5), [900, 100, 9], ["good", "break", "fray"])
    {'good': 900, 'break': 300, 'fray': 90}
    >>> target_counts(RebalanceOptions(strategy={"fray": 50}), [900, 100, 9], ["good", "break", "fray"])
    {'good': 900, 'break': 100, 'fray': 50}

    Args:
      options: the strategy and its parameters.
      counts: training images of each class, int [K].
      classes: names of the classes, K of them.

    Returns:
      {class name: training examples}, in the order of `classes`; each at least 1.

    Raises:
      UserError: if a class has no training image, or the strategy names a class that the data do not have.
    """
    n = np.asarray(counts, dtype=np.int64)
    explicit = options.strategy if isinstance(options.strategy, dict) else {}
    check_names(explicit, classes, "rebalance.strategy")
    if explicit:
        target = np.array([explicit.get(name, count) for name, count in zip(classes, n, strict=True)])
    else:
        target = _resolve(options, n)
    for name, have, want in zip(classes, n, target, strict=True):
        if have == 0:
            raise UserError(
                f"class `{name}` has 0 training images, so {max(want, 1)} training examples cannot be made of it; "
                "add images of it, or remove the class"
            )
    return {name: int(count) for name, count in zip(classes, target, strict=True)}


def _resolve(options: RebalanceOptions, n: np.ndarray) -> np.ndarray:
    """Target of each class by a named strategy: int64 [K] from int64 [K]."""
    largest = n.max()
    match options.strategy:
        case "none":
            target = n
        case "oversample":
            target = np.full_like(n, largest)
        case "undersample":
            target = np.full_like(n, n.min())
        case "power":
            target = largest ** (1 - options.alpha) * n**options.alpha
        case "effective_number":
            effective = effective_number(n, options.beta)
            target = largest * effective / effective.max()
        case _:
            raise ValueError(f"unknown strategy `{options.strategy}`")
    return np.maximum(np.rint(target).astype(np.int64), np.minimum(n, 1))


def check_names(explicit: Iterable[str], classes: Sequence[str], key: str) -> None:
    """Refuses names, given by a key of the configuration, that no class has.

    Raises:
      UserError: with the nearest name and all of them.
    """
    for name in explicit:
        if name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise UserError(f"unknown class `{name}`; {hint}known: {', '.join(classes)}", key=key)


def effective_number(counts: np.ndarray, beta: float) -> np.ndarray:
    """Effective number of images, (1 - beta^n) / (1 - beta) (Cui et al. 2019, eq. 2): float64 [K] from int [K].

    >>> effective_number(np.array([1, 2, 1000]), 0.5)
    array([1. , 1.5, 2. ])
    """
    return (1 - np.power(beta, counts, dtype=np.float64)) / (1 - beta)


def class_weights(kind: WeightKind, counts: Sequence[int], beta: float) -> np.ndarray:
    """Loss weight of each class, of mean 1 over the examples: sum_k n_k w_k / sum_k n_k = 1.

    >>> class_weights("inverse", [30, 10], beta=0.999).round(3)
    array([0.667, 2.   ])

    Args:
      kind: `none` (all 1), `inverse` (1 / n) or `effective_number` (1 / effective number; Cui et al. 2019, eq. 4).
      counts: examples of each class *after* resampling, int [K], all positive: what resampling has evened out is not
        corrected a second time.
      beta: parameter of `effective_number`, in [0, 1).

    Returns:
      float64 [K].
    """
    n = np.asarray(counts, dtype=np.float64)
    match kind:
        case "none":
            return np.ones_like(n)
        case "inverse":
            raw = 1 / n
        case "effective_number":
            raw = 1 / effective_number(n, beta)
        case _:
            raise ValueError(f"unknown class weights `{kind}`")
    return raw * n.sum() / (n * raw).sum()
