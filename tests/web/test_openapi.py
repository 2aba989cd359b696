"""The document describes the service as it is: every route, limit, code and problem."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from resizer.config import load_settings
from resizer.errors import ErrorCode
from resizer.models import FINAL, BatchStatus, ImageStatus
from resizer.version import VERSION
from resizer.web.api.parameters import LONGEST_WAIT
from resizer.web.openapi import describe
from resizer.web.problems import PROBLEMS
from service import Client, problem

Serve = Callable[..., Awaitable[Client]]
Document = dict[str, Any]
METHODS = {"get", "post", "delete", "put", "patch"}
#: paths without a token (docs/api.md)
OPEN = {"/", "/page/{name}", "/ping", "/healthz", "/compressed/{filename}"}


async def fetched(client: Client, **headers: str) -> Document:
    async with client.get("/openapi.json", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        document: Document = await response.json()
        return document


@pytest.fixture(params=[[], ["secret"]], ids=["without login", "with login"])
def document(request: pytest.FixtureRequest) -> Document:
    settings = load_settings(None, {"server": {"api_tokens": request.param}})
    return describe(settings, origin="http://service")


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield method, path, item[method]


def parts(node: Any) -> Iterator[Document]:
    """Every object within the document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from parts(each)


def test_document_is_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == VERSION
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_document_describes_exactly_the_routes(serve: Serve) -> None:
    """HEAD and OPTIONS are described in the introduction."""
    client = await serve()
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    document = await fetched(client)
    assert {(method, path) for method, path, _ in operations(document)} == routes
    assert "HEAD" in document["info"]["description"]
    assert "OPTIONS" in document["info"]["description"]


def test_document_says_which_operations_need_a_token(document: Document) -> None:
    login = "security" in document
    assert login == ("securitySchemes" in document["components"])
    for _, path, operation in operations(document):
        if path in OPEN or not login:
            assert operation.get("security", []) == []
            assert "401" not in operation["responses"]
        else:
            assert "security" not in operation
            assert "401" in operation["responses"]


async def test_open_paths_of_the_document_are_open(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["secret"]})
    async with client.get("/openapi.json") as response:
        await problem(response, 401)
    document = await fetched(client, Authorization="Bearer secret")
    for method, path, operation in operations(document):
        async with client.request(method, path.replace("{", "").replace("}", "")) as response:
            assert (response.status == 401) == (operation.get("security") != []), path


async def test_server_is_the_host_of_the_request(serve: Serve) -> None:
    client = await serve(server={"allowed_hosts": ["images.example"]})
    document = await fetched(client, Host="images.example:81")
    assert [each["url"] for each in document["servers"]] == ["http://images.example:81"]


async def test_server_is_the_public_url_if_set(serve: Serve) -> None:
    client = await serve(server={"public_url": "https://images.example"})
    assert (await fetched(client))["servers"][0]["url"] == "https://images.example"


def test_every_part_has_a_description(document: Document) -> None:
    for method, path, operation in operations(document):
        for name in ("operationId", "summary", "description", "tags"):
            assert operation[name], (method, path, name)
    for part in parts(document["components"]["schemas"]):
        if isinstance(part.get("type"), str) and "properties" in part:
            for name, field in part["properties"].items():
                assert "$ref" in field or field["description"], name


def test_every_object_of_a_body_is_closed(document: Document) -> None:
    for part in parts(document["components"]["schemas"]):
        if "properties" in part and isinstance(part.get("properties"), dict) and "type" in part:
            assert part["additionalProperties"] is False, part.get("description")
            assert set(part["required"]) == set(part["properties"])


def test_every_example_matches_its_schema(document: Document) -> None:
    registry = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))
    checked = 0
    for part in parts(document):
        if not {"schema", "example"} <= set(part) or part["schema"].get("type") == "string":
            continue
        schema = part["schema"]
        if "event: progress" in str(part["example"]):  # the schema describes a single event of the stream
            continue
        schema = {"$id": "urn:document", **document, **schema}
        found = [*OAS31Validator(schema, registry=registry).iter_errors(part["example"])]
        assert not found, found[0].message
        checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    "method, path, status, member",
    [("post", "/upload", "422", "errors"), ("get", "/readyz", "503", "failing")],
)
def test_example_of_a_problem_has_the_member_of_its_type(
    document: Document, method: str, path: str, status: str, member: str
) -> None:
    content = document["paths"][path][method]["responses"][status]["content"]["application/problem+json"]
    assert content["example"][member]


def test_every_link_leads_to_an_operation(document: Document) -> None:
    known = {operation["operationId"] for _, _, operation in operations(document)}
    assert len(known) == len([*operations(document)])
    linked = {
        part["operationId"] for part in parts(document) if "operationId" in part and "summary" not in part
    }
    assert linked
    assert linked <= known


def test_codes_and_statuses_are_those_of_the_service(document: Document) -> None:
    schemas = document["components"]["schemas"]
    error = schemas["Image"]["properties"]["error"]
    assert error["properties"]["code"]["enum"] == [*ErrorCode]
    assert schemas["Image"]["properties"]["status"]["enum"] == [*ImageStatus]
    assert schemas["Status"]["properties"]["status"]["enum"] == [*BatchStatus]
    assert set(document["webhooks"]) == {f"request.{status}" for status in FINAL}


def test_every_problem_is_described(document: Document) -> None:
    text = str(document)
    for status, name, _ in PROBLEMS.values():
        assert f"urn:resizer:problem:{name}" in text
        assert any(str(status.value) in operation["responses"] for _, _, operation in operations(document))


def test_limits_are_those_in_force() -> None:
    settings = load_settings(None, {"server": {"max_upload_size": "7 MB"}})
    document = describe(settings, origin="http://service")
    assert "7000000 bytes" in str(document["paths"]["/upload"])
    assert f"{LONGEST_WAIT} at most" in str(document["paths"]["/status/{request_id}"])


def test_webhooks_name_their_three_headers(document: Document) -> None:
    for item in document["webhooks"].values():
        names = {each["name"] for each in item["post"]["parameters"]}
        assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}


@pytest.mark.parametrize(
    "query, status",
    [
        ("limit=1&limit=2", 422),
        ("status=failed&status=", 422),
        ("limit=99999999999999999999", 200),
        ("status=&limit=&after=", 200),
        ("unknown=1", 200),
    ],
)
async def test_query_is_parsed_as_the_document_says(query: str, status: int, serve: Serve) -> None:
    client = await serve()
    async with client.get(f"/requests?{query}") as response:
        assert response.status == status


@pytest.mark.parametrize(
    "query", ["quality=0", "format=gif", "max_width=-1", "webhook_url=x", "quality=1&quality=2"]
)
async def test_options_of_the_query_are_checked_for_any_type_of_body(query: str, serve: Serve) -> None:
    client = await serve()
    for kind in ("text/csv", "multipart/form-data; boundary=x"):
        async with client.post(f"/upload?{query}", data=b"x", headers={"Content-Type": kind}) as response:
            assert query.partition("=")[0] in (await problem(response, 422))["detail"]
