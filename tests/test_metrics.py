"""`/metrics` counts correctly, and Prometheus can read it."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable

import pytest

import photos
from origin import Answer, Origin
from resizer.app import DATABASE
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.database import Database
from resizer.errors import CompressCrash, DatabaseFailure, ErrorCode
from resizer.metrics import LAG_EVERY, Metrics, QueueStats, watch_loop
from resizer.models import FINAL, BatchStatus
from scrape import OPENMETRICS, PATIENCE, counted, families, samples, scrape, scraped
from service import SECRET, Client, Inbox, catalogue, settled, upload
from steady import TICK

Serve = Callable[..., Awaitable[Client]]

STANDS = QueueStats(requests={BatchStatus.COMPLETED: 3}, waiting=7, in_flight=2)
#: every label; each has a bounded set of values
LABELS = {"status", "outcome", "how", "route", "method", "le", "version", "python", "generation"}


def database_of(client: Client) -> Database:
    found: Database = client.server.app[DATABASE]  # type: ignore[attr-defined]
    return found


def busy_metrics() -> Metrics:
    metrics = Metrics()
    metrics.fetched(0.2, 1000)
    metrics.http_answered("/status/{request_id}", "GET", 200, 0.003)
    return metrics


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_names_units_and_texts_follow_the_conventions(accept: str) -> None:
    body, content_type = busy_metrics().expose(STANDS, accept=accept)
    found = {family.name: family for family in families(body.decode(), content_type)}
    for name, family in found.items():
        assert re.fullmatch("(resizer|process|python)_[a-z_]+", name), name
        assert family.documentation, name
        assert {label for sample in family.samples for label in sample.labels} <= LABELS, name
        if family.type == "histogram":
            assert name.endswith("_seconds"), name
        assert not name.endswith(("_ms", "_milliseconds", "_kb", "_count", "_sum", "_bucket")), name
        for sample in family.samples:
            assert not sample.name.endswith("_created")
            if name.startswith("resizer_") and family.type == "counter":
                assert sample.name.endswith("_total")
    assert {name for name in found if name.startswith("resizer_")} >= {
        "resizer_requests",
        "resizer_images_waiting",
        "resizer_images_in_flight",
        "resizer_fetch_seconds",
        "resizer_compress_seconds",
        "resizer_store_seconds",
        "resizer_commit_seconds",
        "resizer_event_loop_lag_seconds",
    }
    assert {"process_resident_memory_bytes", "process_open_fds"} <= set(found)


def test_both_formats_tell_the_same() -> None:
    metrics = busy_metrics()
    told = []
    for accept in ("", OPENMETRICS):
        body, content_type = metrics.expose(STANDS, accept=accept)
        ours = {
            name: value
            for name, value in samples(body.decode(), content_type).items()
            if name.startswith("resizer_")
        }
        told.append(ours)
    assert told[0] == told[1]
    assert told[0]["resizer_images_waiting"] == 7
    assert told[0]['resizer_requests{status="completed"}'] == 3
    assert told[0]['resizer_requests{status="failed"}'] == 0


def test_every_series_that_can_be_foreseen_is_there_from_the_start() -> None:
    """A series that starts with its first event would show no increase."""
    found = counted(Metrics())
    series = [
        *(
            f'resizer_images_finished_total{{outcome="{code}"}}'
            for code in ("completed", "cancelled", *ErrorCode)
        ),
        *(f'resizer_requests_finished_total{{status="{status}"}}' for status in FINAL),
        *(f'resizer_images_reused_total{{how="{how}"}}' for how in ("unchanged", "shared", "same_bytes")),
        *(f'resizer_webhook_tries_total{{outcome="{how}"}}' for how in ("delivered", "failed", "given_up")),
        "resizer_pool_restarts_total",
        "resizer_fetched_bytes_total",
        "resizer_stored_bytes_total",
        "resizer_commit_operations_total",
        "resizer_fetch_seconds_count",
    ]
    assert [found.get(name) for name in series] == [0] * len(series)


def test_what_stands_for_the_moment_is_left_out_where_nobody_knows_it() -> None:
    metrics = Metrics()
    metrics.expose(STANDS)
    found = counted(metrics)
    assert not [name for name in found if name.startswith(("resizer_requests{", "resizer_images_waiting"))]


def test_applications_do_not_share_what_they_count() -> None:
    one, other = Metrics(), Metrics()
    one.pool_restarted()
    assert counted(one)["resizer_pool_restarts_total"] == 1
    assert counted(other)["resizer_pool_restarts_total"] == 0


@pytest.mark.parametrize("seconds", [0.001, 0.004, 0.2, 30, 59])
def test_buckets_reach_from_a_millisecond_to_a_minute(seconds: float) -> None:
    metrics = Metrics()
    metrics.compressed(seconds)
    buckets = {
        float(name.split('"')[1]): value
        for name, value in counted(metrics).items()
        if name.startswith("resizer_compress_seconds_bucket")
    }
    fitting = min(bound for bound, value in buckets.items() if value)
    assert seconds <= fitting <= max(0.001, 3 * seconds)


@pytest.mark.parametrize(
    "accept, kind",
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "text/plain"),
        ("image/png", "text/plain"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        # as sent by Prometheus 2 and 3
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("text/plain, application/openmetrics-text;q=0.5", "text/plain"),
        ("application/openmetrics-text;q=0", "text/plain"),
        ("application/openmetrics-text;q=much", "text/plain"),
        ("application/openmetrics-text;q=nan", "text/plain"),
        (
            "application/openmetrics-text;version=x.y;escaping=evil",
            "application/openmetrics-text; version=1.0.0;",
        ),
        (";;,,=;q=", "text/plain"),
    ],
)
def test_format_is_the_one_that_the_scraper_prefers(accept: str, kind: str) -> None:
    body, content_type = Metrics().expose(STANDS, accept=accept)
    assert content_type.startswith(kind)
    assert "evil" not in content_type
    assert samples(body.decode(), content_type)["resizer_images_waiting"] == 7


async def test_page_is_answered_in_the_format_asked_for_and_kept_by_nobody(serve: Serve) -> None:
    client = await serve()
    for accept, kind in [("*/*", "text/plain; version=0.0.4"), (OPENMETRICS, OPENMETRICS)]:
        for method in ("GET", "HEAD"):
            async with client.request(method, "/metrics", headers={"Accept": accept}) as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
                assert response.headers["Cache-Control"] == "no-store"
                text = await response.text()
        assert not text  # for HEAD


async def test_counters_say_what_became_of_an_upload(serve: Serve, origin: Origin) -> None:
    pictures = [photos.jpeg(seed=seed) for seed in (1, 2)]
    origin.add("/a.jpg", Answer(body=pictures[0]))
    origin.add("/b.jpg", Answer(body=pictures[1]))
    origin.add("/gone.jpg", Answer(status=404))
    origin.add("/page.jpg", Answer.html())
    client = await serve()
    rows = [
        ("One", *map(origin.url, ("/a.jpg", "/gone.jpg"))),
        ("Two", *map(origin.url, ("/b.jpg", "/page.jpg"))),
    ]
    status = await settled(client, (await upload(client, catalogue(rows)))["request_id"])
    assert status["status"] == "partial"
    found = await scraped(
        client,
        {
            'resizer_images_finished_total{outcome="completed"}': 2,
            'resizer_images_finished_total{outcome="http_status"}': 1,
            'resizer_images_finished_total{outcome="not_an_image"}': 1,
            'resizer_requests_finished_total{status="partial"}': 1,
            'resizer_requests{status="partial"}': 1,
            "resizer_images_waiting": 0,
            "resizer_images_in_flight": 0,
            "resizer_store_seconds_count": 2,
            "resizer_stored_bytes_total": status["bytes"]["output"],
            'resizer_http_requests_total{method="POST",route="/upload",status="202"}': 1,
            'resizer_http_requests_total{method="GET",route="/status/{request_id}",status="200"}': 1,
        },
    )
    # an HTML page is fetched too
    assert found["resizer_fetched_bytes_total"] == sum(map(len, pictures)) + len(Answer.html().body)
    assert found["resizer_fetch_seconds_count"] == 3
    assert found["resizer_compress_seconds_count"] == 2
    assert found["resizer_commit_operations_total"] >= found["resizer_commit_seconds_count"] > 0
    for outcome in ("cancelled", "storage", "timeout"):
        assert found[f'resizer_images_finished_total{{outcome="{outcome}"}}'] == 0
    for status_name in ("completed", "failed", "pending", "processing"):
        assert found[f'resizer_requests{{status="{status_name}"}}'] == 0


async def test_images_at_work_and_those_that_wait_are_told_apart(serve: Serve, origin: Origin) -> None:
    gate = asyncio.Event()
    urls = []
    for number in range(5):
        origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number), gate=gate))
        urls.append(origin.url(f"/{number}.jpg"))
    client = await serve(queue={"workers": 2})
    request_id = (await upload(client, catalogue([("One", *urls)])))["request_id"]
    await scraped(
        client,
        {
            "resizer_images_in_flight": 2,
            "resizer_images_waiting": 3,
            'resizer_requests{status="processing"}': 1,
        },
    )
    gate.set()
    await settled(client, request_id)
    await scraped(client, {"resizer_images_in_flight": 0, "resizer_images_waiting": 0})


async def test_webhook_tries_are_counted_by_what_came_of_them(serve: Serve, origin: Origin) -> None:
    origin.add("/gone.jpg", Answer(status=404))
    origin.add("/hook", Answer(status=410))
    client = await serve(webhook={"secret": SECRET, "schedule": [0, 0.05]})
    data = catalogue([("One", origin.url("/gone.jpg"))])
    async with Inbox() as inbox:
        for url in (inbox.url, origin.url("/hook"), "http://127.0.0.1:9/closed"):
            await upload(client, data, webhook_url=url)
        await scraped(
            client,
            {
                'resizer_webhook_tries_total{outcome="delivered"}': 1,
                'resizer_webhook_tries_total{outcome="failed"}': 1,  # the closed port at first
                'resizer_webhook_tries_total{outcome="given_up"}': 2,
            },
        )


async def test_each_process_that_is_replaced_is_counted() -> None:
    metrics = Metrics()
    async with CompressPool(CompressSettings(processes=1), metrics=metrics) as pool:
        with pytest.raises(CompressCrash):
            await pool.run(os._exit, 1)
        assert counted(metrics)["resizer_pool_restarts_total"] == pool.restarts == 2


async def test_paths_and_methods_that_clients_make_up_add_no_series(serve: Serve) -> None:
    client = await serve()
    for number in range(20):
        async with client.get(f"/status/made-up-{number}") as response:
            assert response.status == 404
        async with client.get(f"/compressed/made-up-{number}.jpg") as response:
            assert response.status == 404
        async with client.get(f"/made/up/{number}") as response:
            assert response.status == 404
    for method in ("PROPFIND", "LOCK", "PURGE", "REPORT"):
        async with client.request(method, "/ping") as response:
            assert response.status == 405
    found = {
        name: value
        for name, value in (await scrape(client)).items()
        if name.startswith("resizer_http_requests")
    }
    assert sum(found.values()) == 64
    assert len(found) == 4, found
    assert not [name for name in found if "made" in name or "LOCK" in name]


async def test_what_fails_is_counted_as_it_was_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve()

    async def breaks() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(database_of(client), "count_by_status", breaks)
    async with client.get("/metrics") as response:
        assert response.status == 500
    monkeypatch.undo()
    found = await scrape(client)
    assert found['resizer_http_requests_total{method="GET",route="/metrics",status="500"}'] == 1
    assert found['resizer_http_request_seconds_count{method="GET",route="/metrics"}'] == 1


@pytest.mark.parametrize("hangs", [False, True])
async def test_counts_are_told_while_the_database_is_at_fault(
    hangs: bool, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    monkeypatch.setattr("resizer.web.api.prometheus.PATIENCE", 0.05)

    async def look() -> None:
        if hangs:
            await asyncio.Event().wait()
        raise DatabaseFailure("disk I/O error")

    monkeypatch.setattr(database_of(client), "count_by_status", look)
    found = await scrape(client)
    assert "resizer_images_waiting" not in found
    assert found["resizer_pool_restarts_total"] == 0
    assert "Cannot read queue metrics" in caplog.text


async def test_event_loop_that_is_held_up_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resizer.metrics.LAG_EVERY", 0.01)
    assert LAG_EVERY <= 1  # a delay of this length is measured
    metrics, told = Metrics(), asyncio.Event()
    count = metrics.loop_lagged

    def lagged(seconds: float) -> None:
        count(seconds)
        told.set()

    monkeypatch.setattr(metrics, "loop_lagged", lagged)
    watching = asyncio.create_task(watch_loop(metrics))
    await asyncio.sleep(0)
    told.clear()  # a stalled machine may have been reported before
    time.sleep(0.2)  # noqa: ASYNC251 - the fault under test
    async with asyncio.timeout(PATIENCE):
        await told.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    # the clock of the suite's loop advances by one tick at most
    assert counted(metrics)["resizer_event_loop_lag_seconds_sum"] > TICK / 2
