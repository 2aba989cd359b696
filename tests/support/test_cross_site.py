"""Which hosts a server answers for, what a request asks for, and whether a page of another origin sent it."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from resizer.support.cross_site import AllowedHosts, Authority, is_cross_origin, requested_authority

LOOPBACK = "127.0.0.1"


def headers(*fields: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(fields))


def allowed(host: str, listened: str, *names: str, local: str = LOOPBACK) -> bool:
    authority = Authority.of(host)
    return authority is not None and AllowedHosts(listened, names).allow(authority.host, local)


@pytest.mark.parametrize("port", ["", ":8080", ":1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "localhost.", "127.0.0.1."])
def test_server_on_loopback_answers_for_its_own_hosts_on_any_port(host: str, port: str) -> None:
    assert allowed(host + port, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "sub.localhost",
        "127.0.0.2",
        "192.0.2.1",
        "0.0.0.0",
        "[::1]",
        # spellings of 127.0.0.1 that browsers put right before they send them
        *(
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.000.0.1",
        ),
        "localhost..",
    ],
)
def test_server_on_loopback_answers_for_no_other_host(host: str) -> None:
    assert not allowed(host, LOOPBACK)
    assert not allowed(f"{host}:8080", LOOPBACK)


@pytest.mark.parametrize(
    "host, listened, local, expected",
    [
        ("[::1]", "::1", "::1", True),
        ("[0:0:0:0:0:0:0:1]", "::1", "::1", True),
        ("[::ffff:127.0.0.1]", "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::1", "::1", False),
        ("[::1]", "localhost", "::1", True),
        ("127.0.0.1", "localhost", "127.0.0.1", True),
        ("images.internal", "images.internal", "10.0.0.5", True),
        ("10.0.0.5", "images.internal", "10.0.0.5", True),
        ("10.0.0.6", "images.internal", "10.0.0.5", False),
        # all addresses: the server cannot know those that are forwarded to it
        ("203.0.113.7", "0.0.0.0", "172.17.0.2", True),
        ("[2001:db8::7]", "0.0.0.0", "172.17.0.2", True),
        ("127.0.0.1", "::", "::ffff:127.0.0.1", True),
        ("fe80", "::", "::1", False),
        ("evil.example", "0.0.0.0", "172.17.0.2", False),
        ("2130706433", "0.0.0.0", "172.17.0.2", False),
        ("127.1", "::", "::1", False),
    ],
)
def test_addresses_are_those_listened_on(host: str, listened: str, local: str, expected: bool) -> None:
    assert allowed(host, listened, local=local) == expected


@pytest.mark.parametrize("host", ["Images.Example", "images.example.:443", "[2001:db8::1]:80", "192.0.2.9"])
def test_names_are_added(host: str) -> None:
    names = ["images.example", "[2001:db8:0::1]", "192.0.2.9"]
    assert allowed(host, LOOPBACK, *names)
    assert not allowed(host, LOOPBACK)
    assert not allowed(f"x.{host}", LOOPBACK, *names)


def test_star_is_every_host() -> None:
    assert allowed("evil.example:80", LOOPBACK, "*")


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "a/b", "a,b", "a@b", "a:b", "a:", "a:123456", "[::1", "[x]", "[1.2.3.4]x", "ä", "a\\b"],
)
def test_text_that_is_no_host_is_none(text: str) -> None:
    assert Authority.of(text) is None


@pytest.mark.parametrize(
    "method, target, expected",
    [
        ("GET", "/a", "own:1"),
        ("GET", "//evil.example/a", "own:1"),
        ("GET", "/http://evil.example/", "own:1"),
        ("OPTIONS", "*", "own:1"),
        ("GET", "http://evil.example", "evil.example"),
        ("GET", "http://evil.example:81/own", "evil.example:81"),
        ("GET", "HTTP://evil.example?x", "evil.example"),
        ("GET", "ftp://evil.example#x", "evil.example"),
        ("GET", "http://own:1@evil.example/", "evil.example"),
        ("GET", "http://evil.example/@own:1", "evil.example"),
        ("CONNECT", "evil.example:80", "evil.example:80"),
    ],
)
def test_request_target_counts_before_the_host_header(method: str, target: str, expected: str) -> None:
    assert requested_authority(method, target, headers(("Host", "own:1"))) == expected


def test_two_hosts_are_not_taken_for_none() -> None:
    assert requested_authority("GET", "/", headers()) is None
    assert requested_authority("GET", "/", headers(("Host", "a"), ("host", "a"))) == ""


OWN = "shop.example:8080"


@pytest.mark.parametrize(
    "fields, elsewhere",
    [
        ([], False),
        ([("Sec-Fetch-Site", "same-origin")], False),
        ([("Sec-Fetch-Site", "none")], False),
        ([("Sec-Fetch-Site", "same-site")], True),
        ([("Sec-Fetch-Site", "cross-site")], True),
        ([("Sec-Fetch-Site", "")], True),
        ([("Sec-Fetch-Site", "same-origin, cross-site")], True),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], True),
        # a proxy may have changed the Host, but not what the browser found
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "https://other.example")], False),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", "http://shop.example:8080")], True),
        ([("Origin", "http://shop.example:8080")], False),
        ([("Origin", "https://Shop.Example:8080")], False),
        ([("Origin", "http://shop.example")], True),
        ([("Origin", "http://shop.example:8081")], True),
        ([("Origin", "http://shop.example.evil.example:8080")], True),
        ([("Origin", "https://evil.example")], True),
        ([("Origin", "null")], True),
        ([("Origin", "")], True),
        ([("Origin", "ftp://shop.example:8080")], True),
        ([("Origin", "shop.example:8080")], True),
        ([("Origin", "http://shop.example:8080/")], True),
        ([("Origin", "http://shop.example:8080"), ("Origin", "http://shop.example:8080")], True),
    ],
)
def test_page_of_another_origin_is_recognised(fields: list[tuple[str, str]], elsewhere: bool) -> None:
    assert is_cross_origin(headers(*fields), [OWN, ""]) == elsewhere


@pytest.mark.parametrize(
    "origin, own, elsewhere",
    [
        ("https://shop.example", "shop.example:443", False),
        ("https://shop.example:443", "shop.example", False),
        ("http://shop.example", "shop.example:80", False),
        ("http://shop.example", "shop.example:443", True),
        ("http://[::1]:8080", "[0::1]:8080", False),
    ],
)
def test_default_port_may_be_left_out(origin: str, own: str, elsewhere: bool) -> None:
    assert is_cross_origin(headers(("Origin", origin)), [own]) == elsewhere
