"""`POST /upload` behaves as in docs/api.md, tested by HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from acceptance import CSV, UPLOAD_BODY, Stage, fits, stage

from origin import Answer
from service import HEADER, catalogue, form, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: ends at once, without a host
NONSENSE = "nonsense://example.com/a.jpg"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data"), server={"max_upload_size": "64 KB"}) as opened:
        yield opened


async def newest(service: Stage) -> str | None:
    data = (await service.json("/requests?limit=1"))["data"]
    return data[0]["request_id"] if data else None


@pytest.mark.parametrize("as_form", [True, False])
async def test_both_forms_are_answered_202_with_each_field(as_form: bool, service: Stage) -> None:
    data = catalogue([("One", NONSENSE, NONSENSE), ("Two",), ("Three", NONSENSE)])
    headers = {} if as_form else {"Content-Type": "text/csv; charset=utf-8"}
    async with service.session.post(
        "/upload", data=form(data) if as_form else data, headers=headers
    ) as answer:
        body = await answer.json()
        assert (answer.status, answer.content_type) == (202, "application/json")
        assert answer.headers["Location"] == body["status_url"]
        assert answer.headers["Retry-After"] == "1"
    fits(body, UPLOAD_BODY)
    assert (body["status"], body["products"], body["images"]) == ("pending", 3, 3)
    assert body["status_url"] == f"{service.root}/status/{body['request_id']}"
    assert body["result_url"] == f"{service.root}/result/{body['request_id']}"


async def test_request_is_there_as_soon_as_it_is_answered(service: Stage) -> None:
    body = await service.post([("One", NONSENSE)])
    assert await newest(service) == body["request_id"]
    status = await service.status(body["request_id"])
    assert (status["created_at"], status["products"]) == (body["created_at"], body["products"])


@pytest.mark.parametrize("as_form", [True, False])
async def test_options_come_as_fields_or_as_query(as_form: bool, service: Stage) -> None:
    options = {"quality": "1", "format": "avif", "max_width": "7", "max_height": "9"}
    options |= {"effort": "small", "fit": "pad", "background": "#AB12cd"}
    options["webhook_url"] = "http://203.0.113.1/hook"
    data = catalogue([("One",), ("Two", NONSENSE)])
    if as_form:
        body = await service.post([("One",), ("Two", NONSENSE)], **options)
    else:
        async with service.session.post("/upload", data=data, params=options, headers=CSV) as response:
            assert response.status == 202
            body = await response.json()
    status = await service.status(body["request_id"])
    expected = {
        "quality": 1,
        "format": "avif",
        "effort": "small",
        "max_width": 7,
        "max_height": 9,
        "fit": "pad",
        "background": "#ab12cd",
    }
    assert [*status["recipe"].items()] == [*expected.items()]
    assert status["webhook"]["url"] == options["webhook_url"]


@pytest.mark.parametrize(
    "status, headers, body",
    [
        (400, {"Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n"),
        (400, {"Content-Type": "multipart/form-data; boundary=b"}, b""),
        (413, CSV, b"a" * 65_000),
        (415, {"Content-Type": "application/json"}, b"{}"),
        (415, {"Content-Type": "application/x-www-form-urlencoded"}, b"file=a"),
        (415, {"Content-Type": "text/csvx"}, b""),
        (422, CSV, b""),
        (422, CSV, b"S. No.,Product Name,Pictures\n1,One,http://example.com/a.jpg\n"),  # no such column
        (422, CSV, f"{HEADER}\n".encode()),  # no data row
        (422, CSV, f"{HEADER}\n1,One,\n".encode()),  # not one URL
        (422, CSV, f"{HEADER}\n1,,{NONSENSE}\n".encode()),  # no product name
        (422, CSV, f"{HEADER}\n1,One,{NONSENSE},oops\n".encode()),  # no URL in an unnamed column
        (422, CSV, f'{HEADER}\n1,One,"{NONSENSE}\n'.encode()),  # unterminated quote
        (422, CSV, f"{HEADER}\n1,One\0,{NONSENSE}\n".encode()),
    ],
)
async def test_upload_that_is_refused_is_a_problem_and_queues_nothing(
    status: int, headers: dict[str, str], body: bytes, service: Stage
) -> None:
    before = await newest(service)
    async with service.session.post("/upload", data=body, headers=headers) as response:
        document = await problem(response, status)
    assert document["title"]
    assert document["detail"]
    assert ("errors" in document) == (status == 422)
    for error in document.get("errors", []):
        fits(error, {"line": int, "column": int, "message": str})
        assert error["message"]
        assert min(error["line"], error["column"]) >= 1
    assert await newest(service) == before


@pytest.mark.parametrize("as_form", [True, False])
@pytest.mark.parametrize(
    "name, value",
    [
        ("quality", "0"),
        ("quality", "x"),
        ("format", "gif"),
        ("max_width", "-1"),
        ("webhook_url", "mailto:a@b"),
    ],
)
async def test_option_that_is_refused_is_named(name: str, value: str, as_form: bool, service: Stage) -> None:
    before = await newest(service)
    data = catalogue([("One", NONSENSE)])
    call: dict[str, Any] = {"data": form(data, **{name: value})}
    if not as_form:
        call = {"data": data, "headers": CSV, "params": {name: value}}
    async with service.session.post("/upload", **call) as response:
        assert name in (await problem(response, 422))["detail"]
    assert await newest(service) == before


async def test_first_hundred_problems_are_listed_in_order(service: Stage) -> None:
    data = HEADER + "\n" + "".join(f"{number},,{NONSENSE}\n" for number in range(150))
    async with service.session.post("/upload", data=data.encode(), headers=CSV) as response:
        errors = (await problem(response, 422))["errors"]
    assert [error["line"] for error in errors] == list(range(2, 102))


async def test_same_key_answers_the_first_request_even_after_its_end(service: Stage) -> None:
    data = catalogue([("One", NONSENSE)])
    answers = []
    for _ in range(2):
        headers = {"Idempotency-Key": "first-or-after"}
        async with service.session.post("/upload", data=form(data), headers=headers) as response:
            assert response.status == 202
            answers.append(await response.json())
            assert response.headers["Location"] == answers[-1]["status_url"]
        fits(answers[-1], UPLOAD_BODY)
        await service.settled(answers[0]["request_id"])
    first, second = ({**answer, "status": None} for answer in answers)
    assert first == second


async def test_one_key_for_several_contents_at_once_keeps_one(service: Stage) -> None:
    contents = [catalogue([(f"P{number}", NONSENSE)]) for number in range(8)]

    async def post(data: bytes) -> tuple[int, str | None]:
        headers = {"Idempotency-Key": "several-at-once"}
        async with service.session.post("/upload", data=form(data), headers=headers) as response:
            if response.status != 202:
                await problem(response, 422)
                return response.status, None
            return 202, (await response.json())["request_id"]

    answers = await asyncio.gather(*(post(data) for data in contents * 2))
    assert {status for status, _ in answers} == {202, 422}
    assert [status for status, _ in answers].count(202) == 2
    assert len({request_id for _, request_id in answers if request_id}) == 1


async def test_upload_that_was_refused_does_not_use_its_key_up(service: Stage) -> None:
    headers = {"Idempotency-Key": "second-try"}
    assert await service.code("POST", "/upload", data=form(b"x"), headers=headers) == 422
    data = form(catalogue([("One", NONSENSE)]))
    assert await service.code("POST", "/upload", data=data, headers=headers) == 202


async def test_full_queue_says_when_to_come_back_and_has_room_again_later(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with stage(tmp_path_factory.mktemp("full"), queue={"max_pending_images": 2}) as service:
        request_id, gate = await service.unfinished()
        service.origin.add("/held.jpg", Answer.hang())
        held = [("Two", service.origin.url("/held.jpg")), ("Three", NONSENSE)]
        headers = await service.refused(429, "POST", "/upload", data=form(catalogue(held)))
        assert int(headers["Retry-After"]) > 0
        assert await newest(service) == request_id
        gate.set()
        await service.settled(request_id)
        assert (await service.post(held))["images"] == 2
