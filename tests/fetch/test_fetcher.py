"""A fetch gives the whole file, politely, and leaves nothing behind."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from limits import limits
from origin import Answer, Origin, self_signed
from resizer.config import FetchSettings
from resizer.errors import BlockedAddress, InvalidUrl
from resizer.fetch.fetcher import Fetched, Fetcher
from resizer.version import VERSION

LOOPBACK = (ip_network("127.0.0.0/8"),)
IMAGE = os.urandom(700_000)


def fetcher(folder: Path, **settings: Any) -> Fetcher:
    chosen = FetchSettings(**{"allow_networks": LOOPBACK, **settings})
    return Fetcher(chosen, limits(chosen), spool=folder / "spool", backoff=0.001)


async def content(fetching: Fetcher, url: str) -> tuple[Fetched, bytes]:
    async with fetching.fetch(url) as fetched:
        return fetched, fetched.path.read_bytes()


@pytest.fixture(autouse=True)
def _spool_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    spool = tmp_path / "spool"
    assert not spool.exists() or not [*spool.iterdir()]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=IMAGE),
        Answer(body=IMAGE, content_type="text/plain"),
        Answer(body=IMAGE, status=203),
        Answer(body=IMAGE, close=True),
        Answer(raw=b"HTTP/1.0 200 OK\r\n\r\n" + IMAGE, close=True),
        Answer(
            raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (len(IMAGE), IMAGE)
        ),
        Answer(
            raw=b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n" + IMAGE
        ),
    ],
)
async def test_fetch_keeps_every_byte(origin: Origin, tmp_path: Path, answer: Answer) -> None:
    url = origin.add("a.jpg", answer)
    async with fetcher(tmp_path) as fetching:
        fetched, body = await content(fetching, url)
    assert body == IMAGE
    assert (fetched.size, fetched.attempts) == (len(IMAGE), 1)


@pytest.mark.parametrize("answer", [Answer(), Answer(status=204), Answer(status=205)])
async def test_nothing_is_a_file_of_size_zero(origin: Origin, tmp_path: Path, answer: Answer) -> None:
    async with fetcher(tmp_path) as fetching:
        fetched, body = await content(fetching, origin.add("a", answer))
    assert (fetched.size, body) == (0, b"")


async def test_part_that_is_the_whole_is_taken(origin: Origin, tmp_path: Path) -> None:
    answer = Answer(status=206, body=IMAGE, headers={"Content-Range": "bytes 0-699999/700000"})
    async with fetcher(tmp_path) as fetching:
        assert (await content(fetching, origin.add("a", answer)))[1] == IMAGE


async def test_answer_to_nothing_is_not_taken_for_the_next_one(origin: Origin, tmp_path: Path) -> None:
    """A host that sends a further answer unasked, for whatever is fetched from it next."""
    poisoned = b"".join(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in (b"one", b"bad")
    )
    urls = [origin.add("a", Answer(raw=poisoned)), origin.add("b", Answer(body=b"two"))]
    async with fetcher(tmp_path, per_host=1) as fetching:
        for _ in range(3):
            assert [(await content(fetching, url))[1] for url in urls] == [b"one", b"two"]


async def test_compressed_answer_is_kept_decompressed(origin: Origin, tmp_path: Path) -> None:
    async with fetcher(tmp_path) as fetching:
        fetched, body = await content(fetching, origin.add("a", Answer.bomb(3_000_000)))
    assert fetched.size == 3_000_000
    assert body == bytes(3_000_000)


async def test_file_is_gone_when_the_user_of_it_fails(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("a", Answer(body=IMAGE))
    async with fetcher(tmp_path) as fetching:
        with contextlib.suppress(ZeroDivisionError):
            async with fetching.fetch(url) as fetched:
                assert fetched.path.exists()
                raise ZeroDivisionError
        assert not fetched.path.exists()


@pytest.mark.parametrize("answer", [Answer.hang(), Answer.without_end(), Answer(status=503)])
async def test_cancelled_fetch_leaves_nothing(origin: Origin, tmp_path: Path, answer: Answer) -> None:
    """While it waits for an answer, in the middle of a body, and while it waits to try again."""
    url = origin.add("a", answer)
    async with Fetcher(
        FetchSettings(allow_networks=LOOPBACK, max_size=10**12),
        limits(),
        spool=tmp_path / "spool",
        backoff=60,
    ) as fetching:
        task = asyncio.create_task(content(fetching, url))
        await origin.arrived("a")
        if answer.endless:
            while not any(path.stat().st_size for path in (tmp_path / "spool").iterdir()):  # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [*(tmp_path / "spool").iterdir()]


async def test_request_names_itself_and_asks_for_the_image_as_it_is(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("a", Answer())
    async with fetcher(tmp_path) as fetching, fetching.fetch(url):
        pass
    async with fetcher(tmp_path, user_agent="shop/1") as fetching, fetching.fetch(url):
        pass
    first, second = (seen.headers for seen in origin.requests)
    assert first["user-agent"] == f"resizer/{VERSION}"
    assert second["user-agent"] == "shop/1"
    assert first["accept-encoding"] == "identity"
    assert first["accept"].startswith("image/*")
    assert "authorization" not in first


@pytest.mark.parametrize(
    "target, sent",
    [
        ("/a%2Fb%2fc+d.jpg?X-Amz-Signature=a%2Bb+c/%3D==&e=%7E#fragment", None),
        ("/w_100,h_100;q=1/(a)/~x/%zz?a=b?c=[1]", None),
        ("/ä b.jpg?n=ö", "/%C3%A4%20b.jpg?n=%C3%B6"),
    ],
)
async def test_url_arrives_byte_for_byte(
    origin: Origin, tmp_path: Path, target: str, sent: str | None
) -> None:
    expected = sent or target.partition("#")[0]
    origin.add(expected.partition("?")[0], Answer())
    origin.add("from", Answer.redirect(target))
    async with fetcher(tmp_path) as fetching:
        for url in (origin.url(target), origin.url("from")):
            async with fetching.fetch(url):
                assert origin.requests[-1].target == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(origin: Origin, tmp_path: Path, status: int) -> None:
    url = origin.add("first/a", Answer.redirect("../second?x=1", status))
    origin.add("second", Answer.redirect(f"//{origin.host}:{origin.port}/third", status))
    origin.add("third", Answer.redirect(origin.url("last"), status))
    origin.add("last", Answer(body=IMAGE))
    async with fetcher(tmp_path) as fetching:
        fetched, body = await content(fetching, url)
    assert body == IMAGE
    assert fetched.attempts == 1
    assert [seen.target for seen in origin.requests] == ["/first/a", "/second?x=1", "/third", "/last"]
    assert all("referer" not in seen.headers for seen in origin.requests)


async def test_credentials_go_to_their_own_host_only(origin: Origin, tmp_path: Path) -> None:
    async with Origin() as other:
        origin.add("a", Answer.redirect("/b"))
        origin.add("b", Answer.redirect(other.url("c")))
        other.add("c", Answer.redirect(origin.url("d")))
        origin.add("d", Answer())
        async with fetcher(tmp_path) as fetching:
            url = origin.url("a").replace("//", "//us%40er:p:%C3%A4ss@")
            async with fetching.fetch(url):
                pass
        sent = [seen.headers.get("authorization") for seen in (*origin.requests, *other.requests)]
    assert sent == ["Basic dXNAZXI6cDrDpHNz"] * 3 + [None]
    assert all("@" not in seen.target for seen in origin.requests)


async def test_password_without_a_user_is_left_out(origin: Origin, tmp_path: Path) -> None:
    """A redirect must not lead to two authorizations at once, at which aiohttp gives up."""
    origin.add("a", Answer.redirect(origin.url("b").replace("//", "//:other@")))
    origin.add("b", Answer())
    async with fetcher(tmp_path) as fetching:
        for credentials in (":other", "user:password"):
            async with fetching.fetch(origin.url("a").replace("//", f"//{credentials}@")):
                pass
    sent = [seen.headers.get("authorization") for seen in origin.requests]
    assert sent == [None, None] + ["Basic dXNlcjpwYXNzd29yZA=="] * 2


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "http://[::1",
        "http://a..b/",
    ],
)
async def test_redirect_to_what_cannot_be_fetched_is_refused(
    origin: Origin, tmp_path: Path, location: str
) -> None:
    url = origin.add("a", Answer.redirect(location))
    async with fetcher(tmp_path) as fetching:
        with pytest.raises(InvalidUrl, match=r"in the redirect of 127\.0\.0\.1"):
            await content(fetching, url)
    assert origin.hits["/a"] == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/canary",
        "http://0x7f.2:{port}/canary",
        "http://2130706434:{port}/canary",
        "//127.0.0.2:{port}/canary",
        "http://[::ffff:127.0.0.2]:{port}/canary",
        "http://[::1]:{port}/canary",
        "http://0.0.0.0:{port}/canary",
    ],
)
async def test_redirect_inside_is_blocked(origin: Origin, tmp_path: Path, location: str) -> None:
    """The origin itself is let in by name of its one address; what it redirects to is not."""
    async with Origin(host="127.0.0.2") as canary:
        url = origin.add("a", Answer.redirect(location.format(port=canary.port)))
        allowed = (ip_network("127.0.0.1/32"),)
        async with fetcher(tmp_path, allow_networks=allowed) as fetching:
            with pytest.raises(BlockedAddress):
                await content(fetching, url)
        assert canary.connections == 0


async def test_redirect_to_a_name_that_leads_inside_is_blocked(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return system("127.0.0.2" if host == "rebind.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with Origin(host="127.0.0.2") as canary:
        url = origin.add("a", Answer.redirect(canary.url("b", host="rebind.example")))
        async with fetcher(tmp_path, allow_networks=(ip_network("127.0.0.1/32"),)) as fetching:
            with pytest.raises(BlockedAddress, match=r"rebind\.example"):
                await content(fetching, url)
        assert canary.connections == 0


async def test_https_is_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with Origin(tls=context) as origin, fetcher(tmp_path) as fetching:
        _, body = await content(fetching, origin.add("a", Answer(body=IMAGE)))
    assert body == IMAGE


async def test_log_has_neither_credentials_nor_query(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = origin.url("missing.jpg").replace("//", "//user:secret@") + "?signature=secret"
    async with fetcher(tmp_path) as fetching:
        with pytest.raises(Exception, match="404"):
            await content(fetching, url)
    assert "/missing.jpg" in caplog.text
    assert "secret" not in caplog.text
