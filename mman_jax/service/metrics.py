"""What a service counts, as Prometheus reads it."""

from collections import Counter
from collections.abc import Iterable, Mapping

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_UTTERANCES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """How many values were at most so large."""

    def __init__(self, bounds: Iterable[float]):
        """Nothing yet.

        Args:
            bounds: ascending.
        """
        self._counts = dict.fromkeys(bounds, 0)
        self._total, self._count = 0.0, 0

    def add(self, value: float) -> None:
        """One value more."""
        self._total += value
        self._count += 1
        for bound in self._counts:
            if value <= bound:
                self._counts[bound] += 1
                break

    def lines(self, name: str) -> Iterable[str]:
        """The lines of this histogram."""
        yield f"# TYPE {name} histogram"
        below = 0
        for bound, count in self._counts.items():
            below += count
            yield f'{name}_bucket{{le="{bound:g}"}} {below}'
        yield f'{name}_bucket{{le="+Inf"}} {self._count}'
        yield f"{name}_sum {self._total!r}"
        yield f"{name}_count {self._count}"


class Metrics:
    """Counts since the service began."""

    def __init__(self):
        self.statuses: Counter[int] = Counter()
        """Answers to requests for an utterance's emotion, by HTTP status."""
        self.forgotten = 0
        """Conversations that made room."""
        self.seconds = Histogram(_SECONDS)
        """From an utterance that is read to its answer."""
        self.steps = Histogram(_UTTERANCES)
        """Utterances of a step."""

    def text(self, now: Mapping[str, int]) -> str:
        """Prometheus' text format.

        Args:
            now: what has a value now, by name.
        """
        lines = ["# TYPE mman_utterances_total counter"]
        lines += [
            f'mman_utterances_total{{status="{status}"}} {count}'
            for status, count in sorted(self.statuses.items())
        ]
        lines += ["# TYPE mman_forgotten_total counter", f"mman_forgotten_total {self.forgotten}"]
        for name, value in now.items():
            lines += [f"# TYPE mman_{name} gauge", f"mman_{name} {value}"]
        lines += self.seconds.lines("mman_answer_seconds")
        lines += self.steps.lines("mman_step_utterances")
        return "\n".join(lines) + "\n"
