"""`GET /result/{request_id}` behaves as in docs/api.md, tested by HTTP."""

from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
import pytest_asyncio
from acceptance import CSV, UNKNOWN, Stage, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data")) as opened:
        yield opened


async def test_slots_of_the_result_are_those_of_the_input(service: Stage) -> None:
    same = service.picture()
    rows = [
        ("One", service.picture(), service.absent(), same),
        ("Two",),
        ("One", same, "ftp://x/a.jpg", same),
    ]
    request_id = await service.finished(rows)
    header, *found = await service.rows(request_id)
    assert header == ["S. No.", "Product Name", "Input Image Urls", "Output Image Urls"]
    assert [row[:3] for row in found] == [
        [str(number), name, ",".join(urls)] for number, (name, *urls) in enumerate(rows, 1)
    ]
    outputs = [image["output_url"] or "" for image in await service.images(request_id)]
    assert [row[3] for row in found] == [",".join(outputs[:3]), "", ",".join(outputs[3:])]
    assert [bool(url) for url in outputs] == [True, False, True, True, False, True]
    for url in filter(None, outputs):
        assert await service.code("GET", url) == 200


async def test_detail_adds_its_columns_slot_for_slot(service: Stage) -> None:
    rows = [
        ("One", service.picture(), service.absent(), "ftp://x/a.jpg"),
        ("Two",),
        ("Three", service.picture()),
    ]
    request_id = await service.finished(rows)
    plain, detail = await service.rows(request_id), await service.rows(request_id, "?detail=1")
    assert [row[:4] for row in detail] == plain
    assert detail[0][4:] == ["Errors", "Input Bytes", "Output Bytes"]
    first, second, third = detail[1:]
    assert first[4] == ",http_status,invalid_url"
    assert second[4:] == ["", "", ""]
    found = await service.images(request_id)
    for row, image in ((first, found[0]), (third, found[3])):
        assert row[4].split(",")[0] == ""
        assert row[5].split(",")[0] == str(image["input_bytes"])
        assert row[6].split(",")[0] == str(image["output_bytes"])
    assert [row[5].count(",") for row in detail[1:]] == [2, 0, 0]
    assert await service.rows(request_id, "?detail=0") == plain


async def test_result_is_a_conflict_until_the_end_and_says_when_to_come_back(service: Stage) -> None:
    request_id, gate = await service.unfinished(service.picture(), service.absent())
    for query in ("", "?detail=1", "?partial=0"):
        headers = await service.refused(409, "GET", f"/result/{request_id}{query}")
        assert int(headers["Retry-After"]) > 0
    (row,) = (await service.rows(request_id, "?partial=1"))[1:]
    done, failed, pending = row[3].split(",")
    assert (bool(done), failed, pending) == (True, "", "")
    assert await service.code("GET", done) == 200
    (row,) = (await service.rows(request_id, "?partial=1&detail=1"))[1:]
    assert row[4] == ",http_status,"
    gate.set()
    await service.settled(request_id)
    assert await service.code("GET", f"/result/{request_id}") == 200


async def test_csv_is_utf_8_with_crlf_and_the_clients_own_cells(service: Stage) -> None:
    url = service.picture()
    data = (
        'Note;SNo;Images;"Product, Name";Price\n'
        f'"two\nlines ""quoted""";007;{url}  {url};Prés;1,50\n'
        f"=1+1; 8 ;{url};Ünï;\n"
    ).encode("cp1252")
    async with service.session.post("/upload", data=data, headers=CSV) as response:
        request_id = (await response.json())["request_id"]
    await service.settled(request_id)
    async with service.session.get(f"/result/{request_id}") as response:
        assert response.content_type == "text/csv"
        text = (await response.read()).decode()
    output = (await service.images(request_id))[0]["output_url"]
    assert text == (
        'Note,SNo,Images,"Product, Name",Price,Output Image Urls\r\n'
        f'"two\nlines ""quoted""",007,{url}  {url},Prés,"1,50","{output},{output}"\r\n'
        f"=1+1, 8 ,{url},Ünï,,{output}\r\n"
    )


@pytest.mark.parametrize(
    "filename, expected",
    [
        ("spring.csv", "spring-result.csv"),
        ('Prés "list".csv', 'Prés "list"-result.csv'),
        ("目录; a=b.csv", "目录; a=b-result.csv"),
        ("100%.v2.csv", "100%.v2-result.csv"),
        ("no extension", "no extension-result.csv"),
    ],
)
async def test_result_is_an_attachment_that_any_client_can_name(
    filename: str, expected: str, service: Stage
) -> None:
    request_id = await service.finished([("One", "nonsense://x/a.jpg")], filename=filename)
    async with service.session.get(f"/result/{request_id}") as response:
        raw = dict(response.raw_headers)[b"Content-Disposition"]
        disposition = response.content_disposition
    assert raw.isascii()  # other bytes are read by each client in its own way
    assert disposition is not None
    assert (disposition.type, disposition.filename) == ("attachment", expected)
    if not expected.isascii() or '"' in expected:
        assert unquote(raw.decode().partition("filename*=UTF-8''")[2]) == expected


async def test_head_of_a_result_has_its_headers_and_no_body(service: Stage) -> None:
    request_id = await service.finished([("One", "nonsense://x/a.jpg")])
    async with service.session.get(f"/result/{request_id}") as response:
        expected = {name: response.headers[name] for name in ("Content-Type", "Content-Disposition")}
    async with service.session.head(f"/result/{request_id}") as response:
        assert (response.status, await response.read()) == (200, b"")
        assert {name: response.headers[name] for name in expected} == expected


@pytest.mark.parametrize("query", ["", "?partial=1", "?detail=1"])
async def test_result_of_nothing_is_a_problem(query: str, service: Stage) -> None:
    await service.refused(404, "GET", f"/result/{UNKNOWN}{query}")


@pytest.mark.parametrize("query", ["partial=maybe", "detail=2"])
async def test_query_that_cannot_be_is_refused(query: str, service: Stage) -> None:
    request_id = await service.finished([("One", "nonsense://x/a.jpg")])
    await service.refused(422, "GET", f"/result/{request_id}?{query}")
