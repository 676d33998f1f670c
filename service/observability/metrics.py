"""What an API process counts for ``/metrics``. Every label comes from a fixed, small set."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from commands.errors import BusyError, ThrottledError
from commands.executor import CommittedBatch
from commands.group_commit import CommandResult
from service.observability.tallies import Tallies

DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How often a value was at most each of ``bounds``, which ascend."""

    def __init__(
        self, tallies: Tallies, name: str, about: str, bounds: tuple[float, ...], **labels: str
    ) -> None:
        self._bounds = bounds
        texts = [*map(str, bounds), "+Inf"]
        self._sum, self._buckets = tallies.buckets(name, about, texts, **labels)

    def observe(self, *values: float) -> None:
        """Count values."""
        self._sum.add(sum(values))
        bounds = self._bounds
        for index, number in Counter([bisect_left(bounds, value) for value in values]).items():
            self._buckets[index].add(number)


class Metrics:
    """The tallies of an API process, and the sums of all."""

    def __init__(self, folder: Path) -> None:
        self._tallies = tallies = Tallies(folder)
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._throttled = {
            limit: tallies.counter("throttled", "Requests refused by a rate limit.", limit=limit)
            for limit in ("login", "login-address", "api", "streams", "filters", "passwords")
        }
        self._busy = tallies.counter("busy", "Requests refused because a queue was full.")
        self.turned_away = tallies.counter(
            "connections_turned_away", "Connections refused because too many were open."
        )
        self.lines_lost = tallies.counter(
            "log_lines_lost", "Log lines dropped because nobody took them."
        )
        self._events = tallies.counter("events_appended", "Events appended by the API.")
        self._commits = Histogram(
            tallies, "commit_commands", "Commands carried out together.", COMMANDS
        )
        self._gauges: list[tuple[Callable[[float], None], Callable[[], float]]] = []

    def observe(self, route: str, method: str, status: int, took_s: Iterable[float]) -> None:
        """Count answered requests; ``route`` is a template, ``method`` one of a few."""
        histogram = self._requests.get((route, method, status))
        if histogram is None:
            histogram = self._requests[route, method, status] = Histogram(
                self._tallies,
                "request_duration_seconds",
                "Time from a request's head to its answer.",
                DURATIONS_S,
                route=route,
                method=method,
                status=str(status),
            )
        histogram.observe(*took_s)

    def refused(self, error: BaseException) -> None:
        """Count a request that was refused for asking too often, or because too many asked."""
        if isinstance(error, ThrottledError):
            self._throttled[error.limit].add()
        elif isinstance(error, BusyError):
            self._busy.add()

    def committed(self, batch: CommittedBatch) -> None:
        """Count what one group commit did."""
        self._commits.observe(len(batch.commands))
        events = sum(one.events for one in batch.answers if isinstance(one, CommandResult))
        if events:
            self._events.add(events)

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Show what ``read`` returns, as often as ``sample`` is called."""
        self._gauges.append((self._tallies.gauge(name, about).set, read))

    def sample(self) -> None:
        """Take down the numbers that are watched."""
        self._tallies.attach()
        for put, read in self._gauges:
            put(read())

    def text(self, *beside: Collector) -> bytes:
        """Return the sums of all processes, and ``beside``, as Prometheus reads them."""
        registry = CollectorRegistry(auto_describe=False)
        for collector in (self._tallies, *beside):
            registry.register(collector)
        return generate_latest(registry)

    def close(self) -> None:
        """End counting."""
        self._tallies.close()
