"""Which image sizes the networks make. Plain Python, so that a configuration can be checked without TensorFlow."""

from collections.abc import Sequence

SMALLEST, LARGEST = 4, 512


def allowed_sides() -> list[int]:
    """All sides that networks make: 4, 7 or 8 times a power of two, 4 to 512."""
    powers = [2**i for i in range(LARGEST.bit_length())]
    return sorted(side for part in (1, 7) for power in powers if SMALLEST <= (side := part * power) <= LARGEST)


def check_image_size(shape: Sequence[int]) -> None:
    """Accepts (H, W) or (H, W, C) whose sides are 4, 7 or 8 times a power of two.

    Raises:
      ValueError: naming the nearest sides that are allowed.
    """
    allowed = allowed_sides()
    for side in shape[:2]:
        if side not in allowed:
            nearest = [a for a in allowed if a < side][-1:] + [a for a in allowed if a > side][:1]
            raise ValueError(
                f"an image side of {side} pixels does not fit the networks: sides are 4, 7 or 8 times a power of two, "
                f"{SMALLEST} to {LARGEST}; the nearest: {' and '.join(map(str, nearest))}"
            )


def halvings(shape: Sequence[int]) -> int:
    """How often both sides are halved between the image and the innermost feature map.

    A side of 7 * 2^k is halved down to 7, one of 2^k down to 4, but twice at least; where the sides differ, the one
    that can be halved less often decides.

    >>> halvings((8, 8, 1)), halvings((28, 28, 1)), halvings((32, 32, 3)), halvings((7, 7, 1))
    (2, 2, 3, 0)

    Args:
      shape: (H, W) or (H, W, C), as `check_image_size` accepts it.
    """
    return min(_halvings_of(side) for side in shape[:2])


def _halvings_of(side: int) -> int:
    twos = (side & -side).bit_length() - 1
    return twos if side % 7 == 0 else max(2, twos - 2)
