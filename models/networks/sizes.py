"""Sizes of feature maps, for images of any size."""

from collections.abc import Sequence

INNERMOST = 7  # sides are halved while they are longer than this
MAX_GROWTH = 8  # channels are at most so many times those next to the image


def halvings(shape: Sequence[int]) -> int:
    """How often both sides are halved, rounding up, between the image and the innermost feature map.

    Down to 4 to 7 pixels, but sides of 4 and 8 twice; where sides differ, the one that is halved less often decides.

    >>> [halvings((side, side)) for side in (7, 8, 28, 30, 32, 512)]
    [0, 2, 2, 3, 3, 7]

    Args:
      shape: (H, W) or (H, W, C).
    """
    return min(_halvings_of(side) for side in shape[:2])


def _halvings_of(side: int) -> int:
    if side in (4, 8):
        return 2
    times = 0
    while side > INNERMOST:
        side, times = -(-side // 2), times + 1
    return times


def innermost(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of the innermost feature map; doubled `halvings` times, they are the image's or more.

    >>> innermost((33, 47))
    (5, 6)
    """
    scale = 2 ** halvings(shape)
    return -(-shape[0] // scale), -(-shape[1] // scale)


def channels(width: int, halved: int) -> int:
    """Channels of a feature map whose sides are the image's, halved `halved` times.

    >>> [channels(24, halved) for halved in range(5)]
    [24, 48, 96, 192, 192]
    """
    return width * min(2**halved, MAX_GROWTH)
