"""Figures for Prometheus, under the names that TensorFlow Serving gives them, times in microseconds as there.

The text is written here because prometheus-client would rename counters (it appends `_total`).
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence

BUCKETS = tuple(10 * 1.8**power for power in range(33))  # microseconds, TensorFlow Serving's own


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


class Counter:
    """Counts, one for each combination of labels."""

    kind = "counter"

    def __init__(self, name: str, *labels: str):
        self.name = name
        self._names = labels
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        """One more."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + 1

    def lines(self) -> list[str]:
        """In Prometheus's text format."""
        with self._lock:
            return [f"{self.name}{{{_labels(self._names, key)}}} {value}" for key, value in self._values.items()]


class Histogram:
    """Times, one distribution for each combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, *labels: str):
        self.name = name
        self._names = labels
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}  # counts of each bucket; the sum

    def observe(self, seconds: float, *labels: str) -> None:
        """One more time."""
        micros = seconds * 1e6
        with self._lock:
            counts, total = self._values.setdefault(labels, ([0] * (len(BUCKETS) + 1), [0.0]))
            counts[bisect_left(BUCKETS, micros)] += 1
            total[0] += micros

    def lines(self) -> list[str]:
        """In Prometheus's text format."""
        lines = []
        with self._lock:
            for key, (counts, total) in self._values.items():
                labels = _labels(self._names, key)
                separator = "," if labels else ""
                below = 0
                for bound, count in zip([*(f"{bound:g}" for bound in BUCKETS), "+Inf"], counts, strict=True):
                    below += count
                    lines.append(f'{self.name}_bucket{{{labels}{separator}le="{bound}"}} {below}')
                lines.append(f"{self.name}_sum{{{labels}}} {total[0]:.0f}")
                lines.append(f"{self.name}_count{{{labels}}} {below}")
        return lines


class Metrics:
    """What is counted and timed."""

    def __init__(self) -> None:
        self.request_count = Counter(":tensorflow:serving:request_count", "model_name", "status")
        self.request_latency = Histogram(":tensorflow:serving:request_latency", "model_name", "API", "entrypoint")
        self.runtime_latency = Histogram(":tensorflow:serving:runtime_latency", "model_name", "API", "runtime")
        self.queuing_latency = Histogram(":tensorflow:serving:batching_session:queuing_latency")
        self.warmup_latency = Histogram(":tensorflow:serving:model_warmup_latency", "model_path", "status")
        self.load_attempts = Counter(":tensorflow:cc:saved_model:load_attempt_count", "model_path", "status")

    def text(self) -> str:
        """All of them, in Prometheus's text format."""
        lines = []
        for metric in vars(self).values():
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += metric.lines()
        return "\n".join(lines) + "\n"
