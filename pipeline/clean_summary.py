"""What `tailgan clean` says of its plan."""

from collections.abc import Iterable

from pipeline.clean import KINDS, Item, Plan


def size(bytes: int) -> str:
    """A size as a person reads it.

    >>> size(1_230_000_000), size(45_600_000), size(7_000)
    ('1.2 GB', '45.6 MB', '7.0 kB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if bytes >= unit:
            return f"{bytes / unit:.1f} {name}"
    return f"{bytes / 1000:.1f} kB"


def summary(plan: Plan) -> str:
    """What goes and what stays, as a table."""
    goes, stays = (_by_kind(items) for items in (plan.goes, plan.stays))
    lines = [f"{plan.site.root}", f"{'':<16}{'goes':>6}{'':>12}{'stays':>8}"]
    for kind in KINDS:
        (gone, gone_bytes), (left, left_bytes) = goes[kind], stays[kind]
        lines.append(f"{kind:<16}{gone:>6}{size(gone_bytes):>12}{left:>8}{size(left_bytes):>12}")
    left_bytes = sum(item.bytes for item in plan.stays)
    lines.append(f"{'total':<16}{len(plan.goes):>6}{size(plan.bytes):>12}{len(plan.stays):>8}{size(left_bytes):>12}")
    if plan.waits_for:
        lines.append(f"Run {plan.waits_for} has not ended: nothing is removed until it has, or is a week old.")
    return "\n".join(lines)


def _by_kind(items: Iterable[Item]) -> dict[str, tuple[int, int]]:
    """{kind: (count, bytes)}."""
    totals = dict.fromkeys(KINDS, (0, 0))
    for item in items:
        count, total = totals[item.kind]
        totals[item.kind] = count + 1, total + item.bytes
    return totals
