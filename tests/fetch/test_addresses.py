"""Nothing but public addresses is permitted, however it is written."""

import random
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inward import LOOPBACK_SPELLINGS, NO_ADDRESS, SPECIAL, Address, Network, edges, embedded
from resizer.errors import InvalidUrl
from resizer.fetch.addresses import AddressPolicy, parse_url, redact

PUBLIC_ONLY = AddressPolicy(setting="fetch.allow_networks")

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::2 fe80::1 fe80::1%eth0 fe80::1%2 febf::1 fec0::1 fc00::1 fd00::1 ff02::1 ff0e::1
100::1 2001:db8::1 2001:2::1 2001:10::1 2001:20::1 3fff::1 5f00::1 4000::1 64:ff9b:1::808:808
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
::127.0.0.1 ::10.0.0.1 ::7f00:1
64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::7f00:1 64:ff9b:1:7f00:0:100::
2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1
2001:0:7f00:1::f7f7:f7f7 2001:0:808:808::80ff:fffe 2001:0:808:808:0:0:f5ff:fffe
""".split()  # noqa: SIM905 - a table reads better without quotes

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0
198.17.255.255 198.20.0.0 223.255.255.255
2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 2001:200::1
::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2001:0:808:808::f7f7:f7f7
""".split()  # noqa: SIM905 - a table reads better without quotes


def ways_to(address: Address) -> Iterator[Address]:
    """The address, and where it is IPv4 every IPv6 address that leads to it."""
    yield address
    if isinstance(address, IPv4Address):
        yield from embedded(address)


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_no_address_of_a_special_range_is_permitted(network: Network) -> None:
    """Its first, last and middle one, and some of those between; IPv4 in every form of IPv6 too."""
    chance = random.Random(str(network))
    tried = [*edges(network), *(network[chance.randrange(network.num_addresses)] for _ in range(20))]
    ways = [way for address in tried for way in ways_to(address)]
    assert [str(way) for way in ways if PUBLIC_ONLY.permits(str(way))] == []


def test_neighbours_of_special_ranges_are_permitted() -> None:
    """Else a range would be written too wide."""
    unicast, assigned_specially = IPv6Network("2000::/3"), IPv6Network("2001::/23")
    outside = [
        type(network[0])(number)
        for network in SPECIAL
        for number in (int(network[0]) - 1, int(network[-1]) + 1)
        if 0 <= number < 2**network.max_prefixlen
    ]
    public = [
        address
        for address in outside
        if not any(address in network for network in (*SPECIAL, assigned_specially))
        and (isinstance(address, IPv4Address) or address in unicast)
    ]
    assert len(public) > 30
    assert [str(address) for address in public if not PUBLIC_ONLY.permits(address)] == []


@pytest.mark.parametrize("address", REFUSED)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert not PUBLIC_ONLY.permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_permitted(address: str) -> None:
    assert PUBLIC_ONLY.permits(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3.4.5", "example.com", "0x7f000001"])
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    """A name would be resolved once more by whoever connects."""
    assert not AddressPolicy((ip_network("0.0.0.0/0"), ip_network("::/0")), setting="x").permits(text)


@pytest.mark.parametrize(
    "network, address, permitted",
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("10.0.0.0/8", "172.16.0.1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::10.1.2.3", True),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", True),
        ("10.0.0.0/8", "2002:a01:203::1", True),
        ("10.0.0.0/8", "::ffff:127.0.0.1", False),
        ("10.0.0.0/8", "2001:0:a01:203::80ff:fffe", False),  # the client is 127.0.0.1
        ("10.0.0.0/8", "2001:0:a01:203::f5fe:fdfc", True),
        ("10.0.0.0/8", "64:ff9b:1::10.1.2.3", False),  # where its IPv4 stands is the operator's choice
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", False),
        ("64:ff9b:1::/48", "64:ff9b:1::1", True),
        ("64:ff9b::/96", "64:ff9b::7f00:1", True),
        ("2002:7f00::/24", "2002:7f00:1::", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("127.0.0.0/8", "::1", False),
        ("::1/128", "::1", True),
        ("::1/128", "127.0.0.1", False),
    ],
)
def test_allowed_network_may_be_named_in_either_form(network: str, address: str, *, permitted: bool) -> None:
    policy = AddressPolicy((ip_network(network),), setting="fetch.allow_networks")
    assert policy.permits(address) is permitted


@pytest.mark.parametrize(
    "text, url",
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:8443/A", "https://example.com:8443/A"),
        ("http://example.com/a#fragment", "http://example.com/a"),
        ("http://example.com?x=1", "http://example.com/?x=1"),
        ("http://h/a%2Fb%2fc+d%20e?X-Sig=a%2Bb+c/%3D==&y=[1]", None),
        ("http://h/w_100,h_100;q=1/a.jpg?x=%zz&y=%", None),
        ("http://h/%7Euser/a..b/~x", None),
        ("http://h/ä b/ü.jpg?n=ö ü", "http://h/%C3%A4%20b/%C3%BC.jpg?n=%C3%B6%20%C3%BC"),
        ('http://h/<a>"{b}|\\^`', "http://h/%3Ca%3E%22%7Bb%7D%7C%5C%5E%60"),
        ("http://h/\udce4", "http://h/%E4"),  # a byte of a Location header that is no UTF-8
        ("http://müller.example/", "http://xn--mller-kva.example/"),
        ("http://a_b.example./", None),
        ("http://user:p%40ss@h/", None),
        ("http://[2606:4700:0::1111]:80/", "http://[2606:4700::1111]/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://0177.0.0.01/", "http://127.0.0.1/"),
        ("http://127.1.:8080/", "http://127.0.0.1:8080/"),
        ("http://①②⑦.⓪.⓪.①/", "http://127.0.0.1/"),
        ("http://0/", "http://0.0.0.0/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://[2606:4700::1111]:443/", "https://[2606:4700::1111]/"),
        ("http://[fe80::1%25eth0]/", None),
    ],
)
def test_url_keeps_its_own_encoding(text: str, url: str | None) -> None:
    assert str(parse_url(text)) == (url or text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.jpg",
        "//host/a.jpg",
        "ftp://user:secret@host/a.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "user:secret@host/a.jpg",
        "http:",
        "http:/host/a.jpg",
        "http://",
        "http:///a.jpg",
        "http://:80/",
        "http://user:secret@/",
        "http://user:secret@host:99999/",
        "http://user:secret@host:x/",
        "http://user:secret@host:0/",
        "http://user:sec/ret@host/",
        "http://user:sec ret@ho st/",
        "http://[::1/",
        "http://[secret]/",
        "http://[v1.secret:a]/",
        "http://[::1%25a%2fsecret]/",
        "http://a..b/",
        "http://.a/",
        "http://ex%41mple.com/",
        "http://host!/",
        "http://a\\b/",
        f"http://{'a' * 64}.com/",
        f"http://{'a.' * 127}com/",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
        "http://0x/",
        " http://host/",
        "http://host/ ",
        "http://ho\tst/",
        "http://host/a\r\nX: y",
        "http://host/\x00",
        "http://host/\x7f",
        f"http://host/{'a' * 8192}",
    ],
)
def test_what_cannot_be_fetched_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)
    assert redact(text) == "(not a URL)"


@given(
    st.one_of(
        st.text(),
        st.text().map("http://".__add__),
        st.text().map("https://u:p@h/".__add__),
        st.text("v1.:%25fe[]a", max_size=9).map("http://[{}]/".format),
        st.text("a1x0.:@[]%８。①/?#", max_size=12).map("http://{}:80".format),
    )
)
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except InvalidUrl:
        return
    assert parse_url(str(url)) == url
    assert str(url).isascii()
    assert url.raw_host


PLAIN_CHARACTERS = "aZ09%2f/:@!$&'()*+,;=~-._?[]"


@given(
    st.sampled_from(["http", "https"]),
    st.text("aB0.-", max_size=12),
    st.sampled_from(["", ":80", ":443", ":8080", ":0", ":99999"]),
    st.text(PLAIN_CHARACTERS, max_size=20),
    st.text(PLAIN_CHARACTERS, max_size=20),
)
def test_plain_url_is_read_as_any_other(scheme: str, host: str, port: str, path: str, query: str) -> None:
    """The scheme in capitals keeps it from what is quick for most URLs."""
    rest = f"://{host}{port}{path and '/' + path}{query and '?' + query}"
    try:
        expected = parse_url(scheme.upper() + rest)
    except InvalidUrl as error:
        with pytest.raises(InvalidUrl, match=re.escape(str(error))):
            parse_url(scheme + rest)
    else:
        assert str(parse_url(scheme + rest)) == str(expected)


@pytest.mark.parametrize("host", [*LOOPBACK_SPELLINGS, *NO_ADDRESS])
@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
def test_no_spelling_reads_as_a_public_address(scheme: str, host: str) -> None:
    try:
        url = parse_url(f"{scheme}://{host}:8080/a")
    except InvalidUrl:
        assert host in NO_ADDRESS
        return
    try:
        address = ip_address(url.host or "")
    except ValueError:
        return  # a name, of which DNS is asked
    assert not PUBLIC_ONLY.permits(address)


def test_redacted_url_has_neither_credentials_nor_query() -> None:
    text = "https://user:secret@example.com:8443/a%2Fb.jpg?X-Signature=secret#secret"
    assert redact(text) == redact(parse_url(text)) == "https://example.com:8443/a%2Fb.jpg"
