"""Cancel, retry, delete and redelivery behave as in docs/api.md, tested by HTTP."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from acceptance import DELIVERY_BODY, STATUS_BODY, UNKNOWN, Each, Stage, fits, jpeg, path_of, staged, until

from origin import Answer
from service import SECRET, Inbox, catalogue, form

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: ends at once, without a host
NONSENSE = "nonsense://example.com/a.jpg"
PATHS = (
    "/status/{}", "/result/{}", "/result/{}?partial=1", "/requests/{}/images", "/requests/{}/events",
    "/requests/{}/archive", "/requests/{}/deliveries",
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["local", "celery"])
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("data"), request.param, webhook={"secret": SECRET}) as opened:
        yield opened


async def output_of(service: Stage, request_id: str) -> str:
    return str((await service.images(request_id))[0]["output_url"])


async def cancelled(service: Stage, request_id: str) -> None:
    async with service.session.post(f"/requests/{request_id}/cancel") as response:
        assert response.status == 202, await response.text()


async def test_cancel_ends_what_is_pending_and_keeps_what_is_done(service: Stage) -> None:
    async with Inbox() as inbox:
        done = service.picture()
        request_id, _ = await service.unfinished(done, service.absent(), webhook_url=inbox.url)
        waiting = asyncio.create_task(service.settled(request_id))
        async with service.session.post(f"/requests/{request_id}/cancel") as response:
            assert response.status == 202
            fits(await response.json(), STATUS_BODY)
        status = await waiting
        (event,) = await inbox.events()
    assert (status["status"], status["done"]) == ("cancelled", True)
    assert status["finished_at"] is not None
    assert status["images"] == {"total": 3, "pending": 0, "completed": 1, "failed": 1, "cancelled": 1}
    assert event["type"] == "request.cancelled"
    found = await service.images(request_id)
    assert [image["status"] for image in found] == ["completed", "failed", "cancelled"]
    assert found[2]["output_url"] is None
    slots = (await service.rows(request_id))[1][3].split(",")
    assert slots == [found[0]["output_url"], "", ""]
    assert [each["request_id"] for each in (await service.json("/requests?status=cancelled"))["data"]] == [
        request_id
    ]


async def test_cancel_before_any_image_is_done_cancels_all(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    await cancelled(service, request_id)
    status = await service.settled(request_id)
    assert (status["status"], status["images"]["cancelled"]) == ("cancelled", 1)
    gate.set()  # what comes too late changes nothing
    await service.finished([("One", service.picture())])
    assert await service.status(request_id) == status


async def test_what_has_ended_cannot_be_cancelled(service: Stage) -> None:
    request_id = await service.finished([("One", service.picture())])
    await service.refused(409, "POST", f"/requests/{request_id}/cancel")
    running, _ = await service.unfinished()
    await cancelled(service, running)
    await service.settled(running)
    await service.refused(409, "POST", f"/requests/{running}/cancel")
    assert (await service.status(request_id))["status"] == "completed"


async def test_retry_tries_failed_and_cancelled_images_alone(service: Stage) -> None:
    done, failed = service.picture(), service.absent()
    request_id, _ = await service.unfinished(done, failed)
    held = (await service.images(request_id, "?status=pending"))[0]["input_url"]
    await cancelled(service, request_id)
    await service.settled(request_id)
    for number, url in enumerate((failed, held)):
        service.origin.add(path_of(url), Answer(body=jpeg(1000 + number)))
    async with service.session.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
        body = await response.json()
    fits(body, STATUS_BODY)
    assert (body["done"], body["images"]["completed"], body["finished_at"]) == (False, 1, None)
    status = await service.settled(request_id)
    assert (status["status"], status["images"]["completed"]) == ("completed", 3)
    assert service.origin.hits[path_of(done)] == 1
    await service.refused(409, "POST", f"/requests/{request_id}/retry")


async def test_delete_forgets_a_request_and_its_files(service: Stage) -> None:
    request_id = await service.finished([("One", service.picture())])
    url = await output_of(service, request_id)
    async with service.session.delete(f"/requests/{request_id}") as response:
        assert (response.status, await response.read()) == (204, b"")
    for path in PATHS:
        await service.refused(404, "GET", path.format(request_id))
    for method, path in (
        ("DELETE", "/requests/{}"),
        ("POST", "/requests/{}/cancel"),
        ("POST", "/requests/{}/retry"),
        ("POST", "/requests/{}/deliveries"),
    ):
        await service.refused(404, method, path.format(request_id))
    listed = (await service.json("/requests?limit=100"))["data"]
    assert request_id not in [body["request_id"] for body in listed]

    async def gone() -> bool:
        return await service.code("GET", url) == 404

    await until(gone)


async def test_delete_keeps_a_file_until_the_last_request_that_uses_it_is_gone(service: Stage) -> None:
    shared, own = service.picture(), service.picture()
    first = await service.finished([("One", shared, own)])
    second = await service.finished([("Two", shared)])
    files = [image["output_url"] for image in await service.images(first)]
    assert await output_of(service, second) == files[0]

    async def own_is_gone() -> bool:
        return await service.code("GET", files[1]) == 404

    async def both_are_gone() -> bool:
        return await service.code("GET", files[0]) == 404

    assert await service.code("DELETE", f"/requests/{first}") == 204
    await until(own_is_gone)
    assert await service.code("GET", files[0]) == 200
    assert (await service.rows(second))[1][3] == files[0]
    assert await service.code("DELETE", f"/requests/{second}") == 204
    await until(both_are_gone)


async def test_delete_of_a_running_request_cancels_it(service: Stage) -> None:
    request_id, gate = await service.unfinished(service.picture())
    beside, beside_gate = await service.unfinished()
    url = await output_of(service, request_id)
    waiting = asyncio.create_task(service.code("GET", f"/status/{request_id}", headers={"Prefer": "wait=60"}))
    assert await service.code("DELETE", f"/requests/{request_id}") == 204
    await service.refused(404, "GET", f"/status/{request_id}")
    assert await waiting in {200, 404}
    gate.set()
    beside_gate.set()
    assert (await service.settled(beside))["status"] == "completed"

    async def gone() -> bool:
        return await service.code("GET", url) == 404

    await until(gone)
    await service.refused(404, "GET", f"/status/{request_id}")


async def test_image_of_a_deleted_request_is_made_anew(service: Stage) -> None:
    source = service.picture(headers={"ETag": '"v1"'})
    first = await service.finished([("One", source)])
    url = await output_of(service, first)
    assert await service.code("DELETE", f"/requests/{first}") == 204
    second = await service.finished([("One", source)])
    assert await output_of(service, second) == url
    assert await service.code("GET", url) == 200


async def test_key_of_a_deleted_request_answers_with_one_that_is_there(service: Stage) -> None:
    async def post() -> str:
        data, headers = form(catalogue([("One", NONSENSE)])), {"Idempotency-Key": "deleted"}
        async with service.session.post("/upload", data=data, headers=headers) as response:
            assert response.status == 202
            return str((await response.json())["request_id"])

    first = await post()
    await service.settled(first)
    assert await service.code("DELETE", f"/requests/{first}") == 204
    assert (await service.settled(await post()))["status"] == "failed"


@pytest.mark.parametrize("name", [UNKNOWN, "x", "..%2fresizer.db"])
@pytest.mark.parametrize(
    "method, path", [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", ""), ("POST", "/deliveries")]
)
async def test_nothing_can_be_done_to_an_unknown_request(
    method: str, path: str, name: str, service: Stage
) -> None:
    await service.refused(404, method, f"/requests/{name}{path}")


async def test_redelivery_sends_the_same_event_again(service: Stage) -> None:
    async with Inbox() as inbox:
        request_id = await service.finished([("One", NONSENSE)], webhook_url=inbox.url)
        await inbox.events()

        async def tried_once() -> bool:
            return [len(each["attempts"]) for each in await service.deliveries(request_id)] == [1]

        async def tried_twice() -> bool:
            return [len(each["attempts"]) for each in await service.deliveries(request_id)] == [2]

        await until(tried_once)
        (before,) = await service.deliveries(request_id)
        async with service.session.post(f"/requests/{request_id}/deliveries") as response:
            assert response.status == 202
            body = await response.json()
        fits(body, {"data": Each(DELIVERY_BODY)})
        assert [each["webhook_id"] for each in body["data"]] == [before["webhook_id"]]
        (event,) = await inbox.events(2)
        # it knows the event again by its id
        assert (event["webhook_id"], event["received"]) == (before["webhook_id"], 2)
        assert inbox.answers == [204, 204]
        await until(tried_twice)
        (after,) = await service.deliveries(request_id)
    assert (after["status"], after["webhook_id"]) == ("delivered", before["webhook_id"])
    assert after["attempts"][0] == before["attempts"][0]


async def test_event_that_was_given_up_arrives_when_it_is_sent_again(service: Stage) -> None:
    path = service.absent().removeprefix(service.origin.url("/"))
    url = service.origin.add(path, Answer(status=410), Answer(status=204))
    request_id = await service.finished([("One", NONSENSE)], webhook_url=url)

    async def given_up() -> bool:
        return [each["status"] for each in await service.deliveries(request_id)] == ["failed"]

    async def delivered() -> bool:
        return [each["status"] for each in await service.deliveries(request_id)] == ["delivered"]

    await until(given_up)
    assert await service.code("POST", f"/requests/{request_id}/deliveries") == 202
    await until(delivered)
    first, second = (seen.headers for seen in service.origin.requests if seen.path == path_of(url))
    assert first["webhook-id"] == second["webhook-id"]


async def test_without_an_event_nothing_can_be_sent_again(service: Stage) -> None:
    ended = await service.finished([("One", NONSENSE)])
    running, gate = await service.unfinished(webhook_url=service.absent())
    for request_id in (ended, running):
        await service.refused(409, "POST", f"/requests/{request_id}/deliveries")
    gate.set()
