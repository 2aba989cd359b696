"""A URL keeps its own encoding, and no spelling hides an address."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inward import LOOPBACK_SPELLINGS, NO_ADDRESS
from resizer.errors import InvalidUrl
from resizer.fetch.addresses import AddressPolicy
from resizer.fetch.url_parser import parse_url, redact

PUBLIC_ONLY = AddressPolicy(setting="fetch.allow_networks")


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
        ("http://h/\udce4", "http://h/%E4"),  # a byte of a Location header that is not UTF-8
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
def test_invalid_url_is_refused_without_repeating_it(text: str) -> None:
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
        return  # a name, resolved by DNS
    assert not PUBLIC_ONLY.permits(address)


def test_redacted_url_has_neither_credentials_nor_query() -> None:
    text = "https://user:secret@example.com:8443/a%2Fb.jpg?X-Signature=secret#secret"
    assert redact(text) == redact(parse_url(text)) == "https://example.com:8443/a%2Fb.jpg"
