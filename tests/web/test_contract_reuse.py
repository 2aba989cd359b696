"""What is promised of images that were seen before, and of how long anything is kept, asked from outside."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
from acceptance import STATUS_BODY, Stage, fits, jpeg, path_of, stage, staged, until

from origin import Answer, Origin, Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: days; most of a second
MOMENT = 1e-5
UNCHANGED = Answer(status=304)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["local", "celery"])
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("data"), request.param) as opened:
        yield opened


async def outputs(service: Stage, *urls: str, **options: str) -> list[str]:
    """Upload a request of these URLs; returns where their images are."""
    request_id = await service.finished([("One", *urls)], **options)
    return [image["output_url"] for image in await service.images(request_id)]


def asked(service: Stage, url: str) -> list[Seen]:
    return [seen for seen in service.origin.requests if seen.path == path_of(url)]


@pytest.mark.parametrize(
    "validator, value, condition",
    [
        ("ETag", '"v1"', "if-none-match"),
        ("ETag", 'W/"v1"', "if-none-match"),
        ("Last-Modified", "Sat, 31 Jan 2026 12:00:00 GMT", "if-modified-since"),
    ],
)
async def test_unchanged_image_is_asked_for_conditionally_and_used_again(
    validator: str, value: str, condition: str, service: Stage
) -> None:
    url = service.picture(headers={validator: value})
    first = await outputs(service, url)
    service.origin.add(path_of(url), UNCHANGED)
    request_id = await service.finished([("One", url)])
    (image,) = await service.images(request_id)
    assert [image["output_url"]] == first
    assert (image["status"], image["error"], image["format"]) == ("completed", None, "jpeg")
    plain, conditional = asked(service, url)
    assert not {"if-none-match", "if-modified-since"} & set(plain.headers)
    assert conditional.headers[condition] == value
    status = await service.status(request_id)
    assert status["status"] == "completed"
    assert status["bytes"]["output"] == image["output_bytes"]
    async with service.session.get(image["output_url"]) as response:
        assert len(await response.read()) == image["output_bytes"]


async def test_image_that_changed_is_a_new_file(service: Stage) -> None:
    url = service.picture(headers={"ETag": '"v1"'})
    first = await outputs(service, url)
    service.origin.add(path_of(url), Answer(body=jpeg(2000), headers={"ETag": '"v2"'}))
    second = await outputs(service, url)
    assert first != second
    service.origin.add(path_of(url), UNCHANGED)
    assert await outputs(service, url) == second
    assert [seen.headers.get("if-none-match") for seen in asked(service, url)] == [None, '"v1"', '"v2"']
    assert [await service.code("GET", each) for each in first + second] == [200, 200]


async def test_image_without_a_validator_is_fetched_anew(service: Stage) -> None:
    url = service.picture()
    first = await outputs(service, url)
    service.origin.add(path_of(url), Answer(body=jpeg(2001)))
    assert await outputs(service, url) != first
    assert not any({"if-none-match", "if-modified-since"} & set(seen.headers) for seen in asked(service, url))


async def test_other_recipe_is_another_file(service: Stage) -> None:
    url = service.picture(headers={"ETag": '"v1"'})
    first = await outputs(service, url)
    second = await outputs(service, url, format="webp")
    assert second != first
    assert second[0].endswith(".webp")


async def test_known_image_that_is_gone_fails_all_the_same(service: Stage) -> None:
    url = service.picture(headers={"ETag": '"v1"'})
    await outputs(service, url)
    service.origin.add(path_of(url), Answer(status=410))
    request_id = await service.finished([("One", url)])
    (image,) = await service.images(request_id)
    assert (image["status"], image["output_url"]) == ("failed", None)
    assert (image["error"]["code"], image["error"]["http_status"]) == ("http_status", 410)


async def test_origin_that_says_unchanged_without_being_asked_is_not_believed(service: Stage) -> None:
    url = service.picture()
    service.origin.add(path_of(url), UNCHANGED)
    request_id = await service.finished([("One", url)])
    assert [image["status"] for image in await service.images(request_id)] == ["failed"]


async def test_same_url_in_one_request_is_fetched_once(service: Stage) -> None:
    url, gone = service.picture(), service.absent()
    request_id = await service.finished([("One", url, gone, url), ("Two", url, gone)])
    assert [image["status"] for image in await service.images(request_id)] == [
        "completed", "failed", "completed", "completed", "failed",
    ]  # fmt: skip
    assert len({image["output_url"] for image in await service.images(request_id, "?status=completed")}) == 1
    assert len(asked(service, url)) == 1


async def test_same_url_in_two_requests_at_once_is_fetched_once(service: Stage) -> None:
    gate = asyncio.Event()
    url = service.picture(gate=gate)
    ids = [(await service.post([(name, url)]))["request_id"] for name in ("One", "Two")]
    await service.origin.arrived(path_of(url))

    async def both_have_begun() -> bool:
        return {(await service.status(each))["status"] for each in ids} == {"processing"}

    await until(both_have_begun)
    gate.set()
    assert {(await service.settled(each))["status"] for each in ids} == {"completed"}
    assert len(asked(service, url)) == 1
    first, second = [(await service.images(each))[0]["output_url"] for each in ids]
    assert first == second


async def test_cancelling_one_of_two_that_share_an_image_leaves_the_other(service: Stage) -> None:
    gate = asyncio.Event()
    url = service.picture(gate=gate)
    first, second = [(await service.post([(name, url)]))["request_id"] for name in ("One", "Two")]
    await service.origin.arrived(path_of(url))
    assert await service.code("POST", f"/requests/{first}/cancel") == 202
    gate.set()
    assert (await service.settled(first))["status"] == "cancelled"
    assert (await service.settled(second))["status"] == "completed"


async def test_same_bytes_under_another_url_are_the_same_file(service: Stage) -> None:
    one, other = (service.origin.add(f"/same/{name}.jpg", Answer(body=jpeg(2002))) for name in "ab")
    first, second = await outputs(service, one, other)
    assert first == second
    assert await outputs(service, one) == [first]


async def test_revalidation_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with stage(tmp_path_factory.mktemp("off"), fetch={"revalidate": False}) as service:
        url = service.picture(headers={"ETag": '"v1"'})
        assert await outputs(service, url) == await outputs(service, url)
        assert [seen.headers.get("if-none-match") for seen in asked(service, url)] == [None, None]


async def test_what_was_learnt_outlives_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("kept")
    async with Origin() as origin:
        async with stage(folder, origin=origin) as service:
            url = service.picture(headers={"ETag": '"v1"'})
            (first,) = await outputs(service, url)
        origin.add(path_of(url), UNCHANGED)
        async with stage(folder, origin=origin) as service:
            (again,) = await outputs(service, url)
            assert again.rpartition("/")[2] == first.rpartition("/")[2]
            assert asked(service, url)[-1].headers["if-none-match"] == '"v1"'


async def test_requests_and_their_files_go_after_the_time_of_retention(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with stage(tmp_path_factory.mktemp("brief"), retention={"days": MOMENT}) as service:
        running, gate = await service.unfinished()
        body = await service.post([("One", service.picture())])
        status = await service.settled(body["request_id"])
        fits(status, STATUS_BODY)
        assert status["expires_at"] is not None
        assert datetime.fromisoformat(status["expires_at"]) >= datetime.fromisoformat(status["finished_at"])
        images = await service.code("GET", f"/requests/{body['request_id']}/images")
        assert images in {200, 404}

        async def gone() -> bool:
            return await service.code("GET", f"/status/{body['request_id']}") == 404

        async def files_gone() -> bool:
            return not list((service.folder / "compressed").glob("*.jpg"))

        await until(gone)
        await service.refused(404, "GET", f"/result/{body['request_id']}?partial=1")
        await until(files_gone)
        # what has not ended does not expire
        assert not (await service.status(running))["done"]
        gate.set()


async def test_without_retention_nothing_expires(service: Stage) -> None:
    request_id = await service.finished([("One", service.picture())])
    assert (await service.status(request_id))["expires_at"] is None
