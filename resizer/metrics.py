"""Counters and histograms of the service, in the Prometheus formats."""

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

#: seconds; from a commit on a fast disk to a fetch of two attempts that time out. Steps of two bound the
#: error of a quantile; 30 is the limit of one fetch and of one compression
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: values of the label `outcome` of images
IMAGE_OUTCOMES = (ImageStatus.COMPLETED, ImageStatus.CANCELLED, *ErrorCode)
#: values of the label `how`; see its help text
REUSES = ("unchanged", "shared", "same_bytes")
#: values of the label `outcome` of webhook attempts; see its help text
WEBHOOK_OUTCOMES = ("delivered", "failed", "given_up")
#: any other method counts as OTHER_METHOD, so that clients cannot create series
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"

LAG_EVERY = 0.5  # seconds between two measurements of the event loop

OPENMETRICS = "application/openmetrics-text"
PLAIN = "text/plain"

#: metric → help text
HELP = {
    "resizer_requests_finished": (
        "Requests that reached a final status; a retried request counts each time it ends."
    ),
    "resizer_images_finished": "Images finished: completed, cancelled, or failed with this error code.",
    "resizer_images_reused": (
        "Images that needed no work: unchanged (the origin answered 304), shared (the same URL was "
        "fetched at the same time or just before), same_bytes (another URL gave the same image)."
    ),
    "resizer_fetch": "Successful fetch of one image, including retries and the pauses between them.",
    "resizer_compress": "Successful compression of one image, including the wait for a free process.",
    "resizer_store": "Durable storage of one compressed image.",
    "resizer_commit": "One database transaction, including the sync to disk.",
    "resizer_fetched": "Bytes of fetched images.",
    "resizer_stored": "Bytes of stored compressed images.",
    "resizer_commit_operations": (
        "Changes committed to the database; divided by resizer_commit_seconds_count: changes per commit."
    ),
    "resizer_webhook_tries": (
        "Attempts to deliver a webhook event: delivered, failed (to be retried), given_up (not retried)."
    ),
    "resizer_pool_restarts": "Compressing processes that died or were killed, and were replaced.",
    "resizer_http_requests": (
        "HTTP requests answered, by the template of the route (unmatched: no such path or method)."
    ),
    "resizer_http_request_seconds": (
        "Time from the header of an HTTP request to its response, including a wait the client asked for."
    ),
    "resizer_event_loop_lag": "Delay of the event loop; every response is delayed by as much.",
}

# the library would add a series with the creation time to each series; the start of the process says as much
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStats:
    """The current size of the queue, read for each scrape."""

    #: batches by status; a status without batches may be missing
    requests: Mapping[BatchStatus, int]
    #: images that wait for a worker
    waiting: int
    #: images with a worker
    in_flight: int


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._queue = _QueueCollector()
        registry.register(self._queue)
        self._requests = _counter(registry, "resizer_requests_finished", status=sorted(FINAL))
        self._images = _counter(registry, "resizer_images_finished", outcome=IMAGE_OUTCOMES)
        self._reused = _counter(registry, "resizer_images_reused", how=REUSES)
        self._fetch = _histogram(registry, "resizer_fetch")
        self._compress = _histogram(registry, "resizer_compress")
        self._store = _histogram(registry, "resizer_store")
        self._commit = _histogram(registry, "resizer_commit")
        self._fetched_bytes = _counter(registry, "resizer_fetched", unit="bytes")
        self._stored_bytes = _counter(registry, "resizer_stored", unit="bytes")
        self._operations = _counter(registry, "resizer_commit_operations")
        self._webhooks = _counter(registry, "resizer_webhook_tries", outcome=WEBHOOK_OUTCOMES)
        self._pool_restarts = _counter(registry, "resizer_pool_restarts")
        self._answers = _counter(registry, "resizer_http_requests", route=(), method=(), status=())
        self._answer_seconds = _histogram(registry, "resizer_http_request_seconds", "route", "method")
        self._lag = _histogram(registry, "resizer_event_loop_lag")
        build = Info("resizer_build", "The running version.", registry=registry)
        build.info({"version": VERSION, "python": platform.python_version()})
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def fetched(self, seconds: float, size: int) -> None:
        """Count a fetch of `size` bytes; 0 if the origin reported the image unchanged."""
        self._fetch.observe(seconds)
        self._fetched_bytes.inc(size)

    def compressed(self, seconds: float) -> None:
        """Count a compression; `seconds` include the wait for a process."""
        self._compress.observe(seconds)

    def stored(self, seconds: float, size: int) -> None:
        """Count a stored file of `size` bytes; 0 if it was there already."""
        self._store.observe(seconds)
        self._stored_bytes.inc(size)

    def committed(self, seconds: float, operations: int) -> None:
        """Count a transaction and its changes."""
        self._commit.observe(seconds)
        self._operations.inc(operations)

    def image_done(self, outcome: str, count: int = 1) -> None:
        """Count finished images; `outcome` is one of `IMAGE_OUTCOMES`."""
        self._images.labels(outcome).inc(count)

    def image_reused(self, how: str) -> None:
        """Count an image that needed no work; `how` is one of `REUSES`."""
        self._reused.labels(how).inc()

    def request_finished(self, status: str) -> None:
        """Count a batch that reached a final status."""
        self._requests.labels(status).inc()

    def webhook_tried(self, outcome: str) -> None:
        """Count an attempt; `outcome` is one of `WEBHOOK_OUTCOMES`."""
        self._webhooks.labels(outcome).inc()

    def pool_restarted(self) -> None:
        """Count a child process that was replaced."""
        self._pool_restarts.inc()

    def http_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an HTTP response; `route` is a template, never a path that a client sent."""
        known = method if method in METHODS else OTHER_METHOD
        self._answers.labels(route, known, status).inc()
        self._answer_seconds.labels(route, known).observe(seconds)

    def loop_lagged(self, seconds: float) -> None:
        """Count a measurement of the event loop's delay."""
        self._lag.observe(max(seconds, 0.0))

    def expose(self, stats: QueueStats | None = None, *, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type, in the format that an Accept header prefers.

        Without `stats`, the gauges of the queue are omitted.
        """
        self._queue.stats = stats
        if _prefers_openmetrics(accept):
            body: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            return body, CONTENT_TYPE_OPENMETRICS
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


async def watch_loop(metrics: Metrics) -> None:
    """Measure the delay of the event loop until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        metrics.loop_lagged(loop.time() - due)


class _QueueCollector(Collector):
    """Gauges that are set for each scrape, so that none can become stale."""

    def __init__(self) -> None:
        self.stats: QueueStats | None = None

    def collect(self) -> Iterable[Metric]:
        stats = self.stats
        requests = GaugeMetricFamily("resizer_requests", "Stored requests, by status.", labels=["status"])
        waiting = GaugeMetricFamily(
            "resizer_images_waiting", "Images that wait for a worker, at most queue.max_pending_images."
        )
        in_flight = GaugeMetricFamily("resizer_images_in_flight", "Images that a worker is processing.")
        if stats is not None:
            for status in BatchStatus:
                requests.add_metric([status], stats.requests.get(status, 0))
            waiting.add_metric([], stats.waiting)
            in_flight.add_metric([], stats.in_flight)
        return [requests, waiting, in_flight]


def _counter(registry: CollectorRegistry, name: str, *, unit: str = "", **labels: Iterable[str]) -> Counter:
    """Create a counter; each known value of its label starts at 0."""
    counter = Counter(name, HELP[name], [*labels], unit=unit, registry=registry)
    for values in labels.values():
        for value in values:
            counter.labels(value)
    return counter


def _histogram(registry: CollectorRegistry, name: str, *labels: str) -> Histogram:
    return Histogram(name, HELP[name], labels, buckets=BUCKETS, unit="seconds", registry=registry)


def _prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics to plain text.

    The library's own choice quotes the client's text in the content type, and fails for unknown versions.
    """
    weights: dict[str, float] = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[kind] = max(weights.get(kind, 0.0), float(weight))
        except ValueError:
            continue  # an invalid weight: the type is ignored
    return weights.get(OPENMETRICS, 0.0) > 0 and weights[OPENMETRICS] >= weights.get(PLAIN, 0.0)
