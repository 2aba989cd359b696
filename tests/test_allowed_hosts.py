"""`server.allowed_hosts`: accepted values and their effect."""

import pytest

from resizer.config import check_exposure, load_settings
from resizer.errors import ConfigError

NAME = "shop.example"


def test_every_host_is_refused_where_there_is_no_login() -> None:
    every = {"allowed_hosts": ["*"]}
    for unguarded in (every, {**every, "allow_anonymous": True}):
        with pytest.raises(ConfigError, match=r"server\.allowed_hosts"):
            check_exposure(load_settings(None, {"server": unguarded}).server)
    check_exposure(load_settings(None, {"server": {**every, "api_tokens": ["secret"]}}).server)
    check_exposure(load_settings(None, {"server": {"allowed_hosts": [NAME]}}).server)


@pytest.mark.parametrize(
    "written, kept",
    [
        ("Images.Example", "images.example"),
        ("images.example.", "images.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::1]", "[::1]"),
        ("::1", "[::1]"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("resizer_1", "resizer_1"),
        ("*", "*"),
    ],
)
def test_host_is_kept_as_it_is_compared(written: str, kept: str) -> None:
    settings = load_settings(None, {"server": {"allowed_hosts": [written]}})
    assert settings.server.allowed_hosts == (kept,)


@pytest.mark.parametrize(
    "written, right",
    [
        (["https://images.example"], "'images.example'"),
        (["images.example:8080"], "'images.example'"),
        (["images.example/x"], "'images.example'"),
        (["user@images.example"], "'images.example'"),
        (["[::1]:8080"], "'[::1]'"),
        (["*.images.example"], '["images.example.com"]'),
        ([""], '["images.example.com"]'),
        (["a b"], '["images.example.com"]'),
        (["."], '["images.example.com"]'),
        (["a,b"], '["images.example.com"]'),
        (["*", NAME], '["*"]'),
    ],
)
def test_what_is_no_host_is_refused(written: list[str], right: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"server": {"allowed_hosts": written}})
    assert {each.key for each in caught.value.wrong} == {"server.allowed_hosts"}
    assert right in str(caught.value)
