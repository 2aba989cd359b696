"""One spelling for each host, whatever a catalogue holds."""

import pytest

from resizer.support.host_key import HostKey


@pytest.mark.parametrize(
    "url, key",
    [
        ("http://a.example/1.jpg", "http://a.example:80"),
        ("https://A.Example/x?y#z", "https://a.example:443"),
        ("HTTPS://a.example:8443/x", "https://a.example:8443"),
        ("http://a.example.:080/", "http://a.example:80"),
        ("http://a.example:/", "http://a.example:80"),
        ("http://user:pass@h/", "http://h:80"),
        ("http://h?q=/@x", "http://h:80"),
        ("http://h#/@x", "http://h:80"),
        ("http://[::1]/x", "http://[::1]:80"),
        ("http://[::1]:81/x", "http://[::1]:81"),
        ("https://Bücher.example/", "https://xn--bcher-kva.example:443"),
        ("https://a\u200b\u3002.example/", "https://a\u200b\u3002.example:443"),
        ("ftp://h/1", "ftp://h"),
        ("http://h:eighty/1", "http://h:eighty"),
        ("http:///1.jpg", ""),
        ("not a url", ""),
        ("", ""),
    ],
)
def test_key_of_a_url_is_scheme_host_and_effective_port(url: str, key: str) -> None:
    assert HostKey.of(url) == key


def test_key_does_not_depend_on_which_url_was_first() -> None:
    assert HostKey.of("http://h/a") == HostKey.of("http://h?a") == HostKey.of("http://h:80/" + "b" * 10_000)
    long = "h" * 1000
    assert HostKey.of(f"http://{long}/") == HostKey.of(f"http://{long}:80/") == f"http://{long}:80"
