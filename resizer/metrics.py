"""Count and time what the service does, and tell it in Prometheus' formats."""

import asyncio
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from resizer.errors import ErrorCode
from resizer.models import FINAL, BatchStatus, ImageStatus
from resizer.version import VERSION

#: seconds; from a commit on a fast disk to a fetch of two tries that hang, in steps of about two so that no
#: quantile read from them is off by more; 30 is the limit of one fetch and of one compression
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: values of the label `outcome` of images
IMAGE_OUTCOMES = (ImageStatus.COMPLETED, ImageStatus.CANCELLED, *ErrorCode)
#: values of the label `how`: the origin said 304; the same URL was fetched at the same time or just before;
#: another URL gave the same bytes
REUSES = ("unchanged", "shared", "same_bytes")
#: values of the label `outcome` of webhook tries: 2xx; to be tried again; failed for the last time
WEBHOOK_OUTCOMES = ("delivered", "failed", "given_up")
#: anything else a client may make up counts as one
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"

#: seconds between two looks at how late the event loop is
LAG_EVERY = 0.5

OPENMETRICS = "application/openmetrics-text"
PLAIN = "text/plain"

# a second line for each series, that tells when it began: the start of the process says as much
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How things stand at the moment; looked up when it is asked for."""

    #: batches by status; a status that has none may be left out
    requests: Mapping[BatchStatus, int]
    #: images that nobody works on yet
    waiting: int
    #: images with a worker
    in_flight: int


class Metrics:
    """What one application has counted; each has a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._standing = _StandingCollector()
        registry.register(self._standing)
        self._requests = _counter(
            registry,
            "resizer_requests_finished",
            "Requests that have reached a final status; one that is retried counts each time it ends.",
            status=sorted(FINAL),
        )
        self._images = _counter(
            registry,
            "resizer_images_finished",
            "Images settled: completed, cancelled, or the error code with which they failed.",
            outcome=IMAGE_OUTCOMES,
        )
        self._reused = _counter(
            registry,
            "resizer_images_reused",
            "Images that were spared work: unchanged (the origin answered 304), shared (the same URL was "
            "fetched at the same time or just before), same_bytes (another URL gave the same image).",
            how=REUSES,
        )
        self._fetch = _histogram(
            registry,
            "resizer_fetch",
            "Fetching one image that came, with all its tries and the pauses between them.",
        )
        self._compress = _histogram(
            registry,
            "resizer_compress",
            "Compressing one image with success, with the wait for a free process.",
        )
        self._store = _histogram(registry, "resizer_store", "Storing one compressed image durably.")
        self._commit = _histogram(
            registry, "resizer_commit", "One transaction of the database, with its sync to the disk."
        )
        self._fetched_bytes = _bytes(registry, "resizer_fetched", "Bytes of the images that were fetched.")
        self._stored_bytes = _bytes(
            registry, "resizer_stored", "Bytes of the compressed images that were stored."
        )
        self._operations = _counter(
            registry,
            "resizer_commit_operations",
            "Changes committed to the database; over resizer_commit_seconds_count: how many share a commit.",
        )
        self._webhooks = _counter(
            registry,
            "resizer_webhook_tries",
            "Tries to deliver a webhook event: delivered, failed (another follows), given_up (none does).",
            outcome=WEBHOOK_OUTCOMES,
        )
        self._pool_restarts = _counter(
            registry,
            "resizer_pool_restarts",
            "Compressing processes that died or were killed, each of them replaced.",
        )
        self._answers = Counter(
            "resizer_http_requests",
            "HTTP requests answered, by the route's template (unmatched: no such path or method).",
            ["route", "method", "status"],
            registry=registry,
        )
        self._answer_seconds = Histogram(
            "resizer_http_request_seconds",
            "From an HTTP request's header to its answer; includes what the client asked to wait for.",
            ["route", "method"],
            buckets=BUCKETS,
            unit="seconds",
            registry=registry,
        )
        self._lag = _histogram(
            registry,
            "resizer_event_loop_lag",
            "How late the event loop is with what is due; everything the server answers is late by as much.",
        )
        build = Info("resizer_build", "The version that runs.", registry=registry)
        build.info({"version": VERSION, "python": platform.python_version()})
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def fetched(self, seconds: float, size: int) -> None:
        """Count a fetch; `size` is in bytes, 0 where the origin said that nothing has changed."""
        self._fetch.observe(seconds)
        self._fetched_bytes.inc(size)

    def compressed(self, seconds: float) -> None:
        """Count a compression; `seconds` with the wait for a process."""
        self._compress.observe(seconds)

    def stored(self, seconds: float, size: int) -> None:
        """Count a file that was put; `size` is in bytes, 0 where it was there already."""
        self._store.observe(seconds)
        self._stored_bytes.inc(size)

    def committed(self, seconds: float, operations: int) -> None:
        """Count a transaction and the changes in it."""
        self._commit.observe(seconds)
        self._operations.inc(operations)

    def image_done(self, outcome: str, count: int = 1) -> None:
        """Count settled images: `outcome` is one of `IMAGE_OUTCOMES`."""
        self._images.labels(outcome).inc(count)

    def image_reused(self, how: str) -> None:
        """Count an image that was spared work: one of `REUSES`."""
        self._reused.labels(how).inc()

    def request_finished(self, status: str) -> None:
        """Count a batch that became final."""
        self._requests.labels(status).inc()

    def webhook_tried(self, outcome: str) -> None:
        """Count a try: one of `WEBHOOK_OUTCOMES`."""
        self._webhooks.labels(outcome).inc()

    def pool_restarted(self) -> None:
        """Count a child process that is replaced."""
        self._pool_restarts.inc()

    def http_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an HTTP answer; `route` is a template, never a path as a client sent it."""
        known = method if method in METHODS else OTHER_METHOD
        self._answers.labels(route, known, status).inc()
        self._answer_seconds.labels(route, known).observe(seconds)

    def loop_lagged(self, seconds: float) -> None:
        """Count a look at how late the event loop is."""
        self._lag.observe(max(seconds, 0.0))

    def expose(self, standing: Standing | None = None, *, accept: str = "") -> tuple[bytes, str]:
        """Return everything and its content type, in the format that an Accept header prefers.

        What stands for the moment is left out where nobody knows it.
        """
        self._standing.standing = standing
        if _prefers_openmetrics(accept):
            body: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            return body, CONTENT_TYPE_OPENMETRICS
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


async def watch_loop(metrics: Metrics) -> None:
    """Look at how late the event loop is, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        metrics.loop_lagged(loop.time() - due)


class _StandingCollector(Collector):
    """Gauges of what is true at the scrape, so that none can be left behind by what it measures."""

    def __init__(self) -> None:
        self.standing: Standing | None = None

    def collect(self) -> Iterable[Metric]:
        now = self.standing
        requests = GaugeMetricFamily(
            "resizer_requests", "Requests that are kept, by their status.", labels=["status"]
        )
        waiting = GaugeMetricFamily(
            "resizer_images_waiting", "Images that wait for a worker; queue.max_pending_images limits them."
        )
        in_flight = GaugeMetricFamily("resizer_images_in_flight", "Images that a worker is at.")
        if now is not None:
            for status in BatchStatus:
                requests.add_metric([status], now.requests.get(status, 0))
            waiting.add_metric([], now.waiting)
            in_flight.add_metric([], now.in_flight)
        return [requests, waiting, in_flight]


def _counter(registry: CollectorRegistry, name: str, text: str, **labels: Iterable[str]) -> Counter:
    """Make a counter; each value of its one label, if it has one, is there from the start, at 0."""
    counter = Counter(name, text, [*labels], registry=registry)
    for values in labels.values():
        for value in values:
            counter.labels(value)
    return counter


def _bytes(registry: CollectorRegistry, name: str, text: str) -> Counter:
    return Counter(name, text, unit="bytes", registry=registry)


def _histogram(registry: CollectorRegistry, name: str, text: str) -> Histogram:
    return Histogram(name, text, buckets=BUCKETS, unit="seconds", registry=registry)


def _prefers_openmetrics(accept: str) -> bool:
    """Tell whether an Accept header names OpenMetrics, and plain text no higher.

    The library's own choice quotes what the client sent in the content type, and fails at odd versions.
    """
    weights: dict[str, float] = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[kind] = max(weights.get(kind, 0.0), float(weight))
        except ValueError:
            continue  # a weight that is none: as if it were not named
    return weights.get(OPENMETRICS, 0.0) > 0 and weights[OPENMETRICS] >= weights.get(PLAIN, 0.0)
