"""Read `/metrics` as Prometheus does."""

import asyncio
from collections.abc import Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from resizer.metrics import Metrics
from service import Client

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PATIENCE = 15.0  # seconds; longest delay of a count

#: name and labels → value
Samples = Mapping[str, float]


def families(text: str, content_type: str) -> list[Metric]:
    """Parse strictly, with the parser of OpenMetrics."""
    read = read_openmetrics if content_type.startswith("application/openmetrics-text") else read_plain
    return list(read(text))


def samples(text: str, content_type: str = "text/plain") -> Samples:
    """Return every sample by name and sorted labels: `name{a="b"}`."""
    found = {}
    for family in families(text, content_type):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def counted(metrics: Metrics) -> Samples:
    body, content_type = metrics.expose()
    return samples(body.decode(), content_type)


async def scrape(client: Client) -> Samples:
    async with client.get("/metrics") as response:
        assert response.status == 200, await response.text()
        return samples(await response.text(), response.headers["Content-Type"])


async def scraped(client: Client, expected: Samples) -> Samples:
    """Wait for these samples: a count may follow the response to a client."""
    found: Samples = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while {name: found.get(name) for name in expected} != expected:
                found = await scrape(client)
                await asyncio.sleep(0.02)
    except TimeoutError:
        assert {name: found.get(name) for name in expected} == expected
    return found
