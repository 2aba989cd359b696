"""Tokens, hosts, problems and the paths of the service itself behave as in docs/api.md."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from acceptance import UNKNOWN, Json, Stage, stage

from service import catalogue, form, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: every documented path that requires a token
TABLE = [
    ("POST", "/upload"),
    ("GET", "/status/{}"),
    ("GET", "/result/{}"),
    ("GET", "/requests"),
    ("GET", "/requests/{}/images"),
    ("GET", "/requests/{}/events"),
    ("GET", "/requests/{}/archive"),
    ("POST", "/requests/{}/cancel"),
    ("POST", "/requests/{}/retry"),
    ("DELETE", "/requests/{}"),
    ("GET", "/requests/{}/deliveries"),
    ("POST", "/requests/{}/deliveries"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
]
OPEN = [("GET", "/"), ("GET", "/ping"), ("GET", "/healthz"), ("GET", "/compressed/{}")]
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "img.example.com"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    server = {"allowed_hosts": ["shop.example.com", "[2001:db8::1]"]}
    async with stage(tmp_path_factory.mktemp("data"), server=server) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """With tokens, behind a proxy on this machine."""
    server = {"api_tokens": ["first", "second"], "trusted_proxies": ["127.0.0.1/32"]}
    async with stage(tmp_path_factory.mktemp("guarded"), server=server) as opened:
        yield opened


async def addresses(service: Stage, **headers: str) -> set[str]:
    """Make a request and return what stands before the path in every URL that is told of it."""
    data = form(catalogue([("One", service.picture())]))
    async with service.session.post("/upload", data=data, headers=headers) as response:
        body: Json = await response.json()
        told = [response.headers["Location"], body["status_url"], body["result_url"]]
    request_id = body["request_id"]
    status = await service.json(f"/status/{request_id}", headers=headers | {"Prefer": "wait=60"})
    told += [status[name] for name in ("status_url", "result_url", "images_url", "archive_url")]
    listed = await service.json("/requests", headers=headers)
    told.append(listed["data"][0]["status_url"])
    images = await service.json(f"/requests/{request_id}/images", headers=headers)
    told.append(images["data"][0]["output_url"])
    async with service.session.get(f"/result/{request_id}", headers=headers) as response:
        told.append((await response.text()).strip().rpartition(",")[2])
    for word in ("/status/", "/result/", "/requests/", "/compressed/"):
        told = [url.partition(word)[0] for url in told]
    return set(told)


@pytest.mark.parametrize(
    "path, expected",
    [("/ping", {"status": "pong"}), ("/healthz", {"status": "ok"}), ("/readyz", {"status": "ok"})],
)
async def test_service_says_that_it_is_well(path: str, expected: Json, service: Stage) -> None:
    assert await service.json(path) == expected


@pytest.mark.parametrize("method, path", TABLE)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer ", "Bearer wrong", "Bearer firstsecond", "Basic first", "first"]
)
async def test_path_wants_a_token(method: str, path: str, authorization: str | None, guarded: Stage) -> None:
    given = {} if authorization is None else {"Authorization": authorization}
    headers = await guarded.refused(401, method, path.format(UNKNOWN), headers=given)
    assert headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("method, path", TABLE)
async def test_any_of_the_tokens_opens_a_path(method: str, path: str, guarded: Stage) -> None:
    for authorization in ("Bearer first", "bearer second"):
        headers = {"Authorization": authorization}
        status = await guarded.code(method, path.format(UNKNOWN), headers=headers)
        assert status == (415 if path == "/upload" else 404 if "{}" in path else 200)


@pytest.mark.parametrize("method, path", OPEN)
async def test_open_path_wants_no_token(method: str, path: str, guarded: Stage) -> None:
    status = await guarded.code(method, path.format(f"{'0' * 32}.jpg"))
    assert status == (404 if "{}" in path else 200)


async def test_image_is_shown_to_everybody(guarded: Stage) -> None:
    headers = {"Authorization": "Bearer first"}
    data = form(catalogue([("One", guarded.picture())]))
    async with guarded.session.post("/upload", data=data, headers=headers) as response:
        request_id = (await response.json())["request_id"]
    await guarded.json(f"/status/{request_id}", headers=headers | {"Prefer": "wait=60"})
    (image,) = (await guarded.json(f"/requests/{request_id}/images", headers=headers))["data"]
    assert await guarded.code("GET", image["output_url"]) == 200


async def test_urls_name_the_host_that_was_asked(service: Stage) -> None:
    assert await addresses(service) == {service.root}
    assert await addresses(service, Host="shop.example.com:8443") == {"http://shop.example.com:8443"}
    assert await addresses(service, Host="[2001:db8::1]:80") == {"http://[2001:db8::1]:80"}


async def test_forwarded_headers_count_from_a_trusted_proxy_alone(guarded: Stage, service: Stage) -> None:
    token = {"Authorization": "Bearer first"}
    assert await addresses(guarded, **token, **FORWARDED) == {"https://img.example.com"}
    several = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.example.com, b.example.com"}
    assert await addresses(guarded, **token, **several) == {"https://a.example.com"}
    half = {"X-Forwarded-Proto": "https"}
    assert await addresses(guarded, **token, **half) == {guarded.root.replace("http:", "https:")}
    assert await addresses(service, **FORWARDED) == {service.root}


async def test_public_url_stands_in_every_url(tmp_path_factory: pytest.TempPathFactory) -> None:
    public = "https://images.example.com/shop"
    server = {"public_url": f"{public}/", "trusted_proxies": ["127.0.0.0/8"]}
    async with stage(tmp_path_factory.mktemp("public"), server=server) as service:
        assert await addresses(service) == {public}
        assert await addresses(service, **FORWARDED) == {public}


@pytest.mark.parametrize("headers", [{"X-Forwarded-Host": "a/b"}, {"X-Forwarded-Proto": "javascript"}])
async def test_address_that_is_none_is_refused(headers: dict[str, str], guarded: Stage) -> None:
    headers = headers | {"Authorization": "Bearer first"}
    await guarded.refused(400, "GET", "/requests", headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/nowhere", "/upload/x", "/requests/x/y/z", "/status//"])
async def test_unknown_path_is_a_problem(method: str, path: str, service: Stage) -> None:
    await service.refused(404, method, path)


@pytest.mark.parametrize("method, path", TABLE + OPEN)
async def test_method_that_a_path_does_not_have_is_a_problem(method: str, path: str, service: Stage) -> None:
    headers = await service.refused(405, "PATCH", path.format(UNKNOWN))
    assert method in headers["Allow"].replace(" ", "").split(",")


async def test_problem_says_what_is_wrong(service: Stage) -> None:
    async with service.session.get(f"/status/{UNKNOWN}") as response:
        body = await problem(response, 404)
    assert {name: type(body[name]) for name in ("type", "title", "status", "detail")} == {
        "type": str,
        "title": str,
        "status": int,
        "detail": str,
    }
    assert UNKNOWN in body["detail"]


async def test_metrics_are_prometheus_text(service: Stage) -> None:
    async with service.session.get("/metrics") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        text = await response.text()
    assert "# TYPE resizer_" in text
    assert "# HELP resizer_" in text


async def test_description_names_every_path_of_the_table(service: Stage) -> None:
    document = await service.json("/openapi.json")
    assert document["openapi"].startswith("3.1.")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    for method, path in TABLE + OPEN:
        name = "{filename}" if path.startswith("/compressed") else "{request_id}"
        assert (method, path.replace("{}", name)) in described


async def test_page_that_shows_the_description_loads_nothing_from_other_hosts(service: Stage) -> None:
    async with service.session.get("/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "/upload" in text
    for attribute in ('src="http', 'src="//', "@import", 'rel="stylesheet" href="http'):
        assert attribute not in text
