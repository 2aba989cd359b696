import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resizer.config import Settings, check_exposure, is_loopback, load_settings
from resizer.config.printing import to_toml
from resizer.errors import ConfigError

MANUAL = Path(__file__).parent.parent / "config.toml"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder without a config.toml."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrong_keys(**kwargs: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(**kwargs)
    return {wrong.key: str(wrong) for wrong in caught.value.wrong}


def test_config_toml_and_settings_agree_key_by_key() -> None:
    assert tomllib.loads(MANUAL.read_text()) == tomllib.loads(to_toml(load_settings()))


def test_config_toml_explains_every_key() -> None:
    for line in MANUAL.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            assert "#" in line, line


def test_config_toml_can_be_loaded() -> None:
    assert load_settings(MANUAL).model_dump() == load_settings().model_dump()


def test_environment_overrides_file_and_flags_override_both(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "config.toml").write_text(
        '[fetch]\ntimeout = 1\nretries = 1\n[server]\nhost = "a"\nport = 1'
    )
    monkeypatch.setenv("RESIZER_FETCH__TIMEOUT", "2")
    monkeypatch.setenv("RESIZER_SERVER__PORT", "2")
    settings = load_settings(overrides={"server": {"port": 3}})
    assert (settings.fetch.timeout, settings.fetch.retries) == (2, 1)
    assert (settings.server.host, settings.server.port) == ("a", 3)


@pytest.mark.parametrize(
    "text", ['["10.0.0.0/8", "::1/128"]', "10.0.0.0/8,::1/128", " 10.0.0.0/8 , ::1/128 "]
)
def test_environment_takes_lists_in_both_forms(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIZER_FETCH__ALLOW_NETWORKS", text)
    assert [str(network) for network in load_settings().fetch.allow_networks] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    "text, size",
    [('"25 MB"', 25_000_000), ('"1 GiB"', 2**30), ("1000", 1000), ('"10kb"', 10_000)],
)
def test_sizes_take_units(text: str, size: int, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text(f"[fetch]\nmax_size = {text}")
    assert load_settings().fetch.max_size == size


@pytest.mark.parametrize(
    "text, key, remedy",
    [
        ("[fetch]\ntimout = 3", "fetch.timout", "did you mean fetch.timeout?"),
        ("quality = 3", "quality", "did you mean compress.quality?"),
        ("[fetsch]\ntimeout = 3", "fetsch", ""),
        ('[fetch]\ntimeout = "soon"', "fetch.timeout", "expected a number of seconds above 0"),
        ("[fetch]\ntimeout = 0", "fetch.timeout", "expected a number of seconds above 0"),
        ("[fetch]\ntimeout = inf", "fetch.timeout", "expected a number of seconds above 0"),
        ("[server]\nrequest_timeout = 1e306", "server.request_timeout", "a number of seconds"),
        ("fetch = 3", "fetch", "[fetch]"),
        ('[fetch]\nmax_size = "much"', "fetch.max_size", 'expected a size such as "25 MB"'),
        ('[fetch]\nallow_networks = ["ten"]', "fetch.allow_networks", 'such as ["10.0.0.0/8"]'),
        ("[compress]\nquality = 101", "compress.quality", "from 1 to 100"),
        ('[compress]\nformat = "gif"', "compress.format", "one of keep, jpeg, png, webp, avif"),
        ('[compress]\neffort = "most"', "compress.effort", "one of fast, balanced, small"),
        ('[compress]\nfit = "contain"', "compress.fit", "one of inside, cover, pad"),
        ('[compress]\nbackground = "red"', "compress.background", "a colour such as #f4f4f4"),
        ('[compress]\nbackground = "#fff"', "compress.background", "a colour such as #f4f4f4"),
        ('[compress]\nfit = "pad"', "compress.fit", "both max_width and max_height"),
        ('[compress]\nfit = "cover"\nmax_width = 9', "compress.fit", "both max_width and max_height"),
        (
            '[compress]\nfit = "pad"\nmax_width = 10\nmax_height = 11\nmax_pixels = 109',
            "compress.fit",
            "compress.max_pixels (109)",
        ),
        ("[queue]\nworkers = 0", "queue.workers", "1 or more"),
        ("[server]\nport = 70000", "server.port", "from 0 to 65535"),
        ('[server]\npublic_url = "example.com"', "server.public_url", "https://images.example.com"),
        ('[server]\napi_tokens = [""]', "server.api_tokens", "texts without white space"),
        ('[storage]\nkind = "ftp"', "storage.kind", "local, s3, gcs or azure"),
        ('[webhook]\nsecret = "hush"', "webhook.secret", "whsec_ and base64"),
        ("[webhook]\nschedule = []", "webhook.schedule", "[0, 5, 300]"),
        ('[webhook]\nurl = "nowhere"', "webhook.url", "http or https URL"),
        ("[compress]\nquality = true", "compress.quality", "from 1 to 100"),
        ("[fetch]\ntimeout = true", "fetch.timeout", "a number of seconds"),
        ('[engine]\nbroker_url = "redis://[x"', "engine.broker_url", "redis://127.0.0.1"),
        ('[engine]\nbroker_url = "redis://h/abc"', "engine.broker_url", "redis://127.0.0.1"),
        ('[storage]\nbucket = "a b"', "storage.bucket", "letters, digits"),
        ('[storage]\nbucket = "pics/shop"', "storage.bucket", "storage.prefix"),
        ('[storage]\nprefix = "a/../b"', "storage.prefix", "shop/images"),
        ('[storage]\nprefix = "a//b"', "storage.prefix", "shop/images"),
        ('[storage]\nendpoint = "http://user:word@h"', "storage.endpoint", "without a login"),
        ('[log]\nlevel = "loud"', "log.level", "debug, info, warning or error"),
    ],
)
def test_wrong_file_is_refused_by_full_name_with_the_remedy(
    text: str, key: str, remedy: str, empty_folder: Path
) -> None:
    (empty_folder / "config.toml").write_text(text)
    wrong = wrong_keys()
    assert list(wrong) == [key]
    assert remedy in wrong[key]
    for sentence in ("Value error", "Input should", "could not parse", "should have at least"):
        assert sentence not in wrong[key], "a sentence of pydantic"


@pytest.mark.parametrize(
    "text, background", [("white", "white"), ("none", "none"), ("#FFFFFF", "white"), ("#AbCdEf", "#abcdef")]
)
def test_background_has_one_spelling(text: str, background: str, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text(f'[compress]\nbackground = "{text}"')
    settings = load_settings()
    assert settings.compress.recipe().background == background
    assert tomllib.loads(to_toml(settings))["compress"]["background"] == background


def test_every_wrong_key_is_listed(empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("[fetch]\ntimeout = 0\nretrys = 1\n[server]\nport = -1")
    assert set(wrong_keys()) == {"fetch.timeout", "fetch.retrys", "server.port"}


@pytest.mark.parametrize(
    "name, key",
    [
        ("RESIZER_FETCH__TIMOUT", "fetch.timout"),
        ("RESIZER_TIMEOUT", "timeout"),
        ("resizer_nothing__at_all", "nothing.at_all"),
    ],
)
def test_unknown_variable_is_refused(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert list(wrong_keys()) == [key]


def test_secret_is_not_shown_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIZER_WEBHOOK__SECRET", "hunter2")
    monkeypatch.setenv("RESIZER_SERVER__API_TOKENS", "good,letmein here")
    monkeypatch.setenv("RESIZER_WEBHOOK__URL", "https://user:sesame\uff1fret@h")
    text = "".join(wrong_keys().values())
    assert "hunter2" not in text
    assert "sesame" not in text
    assert "letmein" not in text


def test_file_that_is_no_toml_is_refused_with_its_line(empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("\n[fetch\n")
    assert "line 2" in wrong_keys()["--config"]


def test_named_file_must_exist(empty_folder: Path) -> None:
    assert "there is no file" in wrong_keys(file=empty_folder / "other.toml")["--config"]


def test_printed_configuration_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIZER_WEBHOOK__SECRET", SECRET)
    monkeypatch.setenv("RESIZER_SERVER__API_TOKENS", "first,second")
    monkeypatch.setenv("RESIZER_ENGINE__BROKER_URL", "rediss://user:sesame@redis.example.com:6379/0")
    text = to_toml(load_settings())
    assert not [secret for secret in (SECRET, "first", "second", "sesame") if secret in text]
    assert tomllib.loads(text)["server"]["api_tokens"] == ["***", "***"]


@pytest.mark.parametrize(
    "settings, accepted",
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "::1"}, True),
        ({"host": "127.8.9.10"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "example.com"}, False),
        ({"host": "127.0.0.2"}, True),
        ({"host": "LOCALHOST"}, True),
        ({"host": "0"}, False),
        ({"host": "0.0.0.1"}, False),
        ({"host": "::ffff:0.0.0.0"}, False),
        ({"host": "::ffff:192.168.1.1"}, False),
        ({"host": "192.168.1.1"}, False),
        ({"host": "fe80::1"}, False),
        ({"host": "shop-server"}, False),
        ({"host": "localhost.example.com"}, False),
        ({"host": "0.0.0.0", "api_tokens": ["t"]}, True),
        ({"host": "0.0.0.0", "allow_anonymous": True}, True),
    ],
)
def test_host_beyond_this_machine_wants_a_login(settings: dict[str, Any], accepted: bool) -> None:
    server = load_settings(overrides={"server": settings}).server
    if accepted:
        check_exposure(server)
        return
    with pytest.raises(ConfigError, match=r"set server\.api_tokens"):
        check_exposure(server)


def test_loopback_is_told_by_address_not_by_its_beginning() -> None:
    assert not is_loopback("127.example.com")


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.data_dir = "elsewhere"  # type: ignore[misc]


def test_settings_name_every_section_once() -> None:
    assert list(Settings.model_fields) == list(tomllib.loads(MANUAL.read_text()))


def test_config_command_prints_what_is_in_force(empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("[compress]\nquality = 70")
    finished = subprocess.run(
        [sys.executable, "-m", "resizer", "config", "--data-dir", "elsewhere"],
        check=True,
        capture_output=True,
        text=True,
    )
    printed = tomllib.loads(finished.stdout)
    assert (printed["compress"]["quality"], printed["data_dir"]) == (70, "elsewhere")


def test_config_command_ends_with_2_and_names_the_key() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "resizer", "config"],
        check=False,
        capture_output=True,
        text=True,
        env={"RESIZER_COMPRESS__QUALITY": "best", "PATH": ""},
    )
    assert finished.returncode == 2
    assert "compress.quality" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_file_may_begin_with_the_mark_that_windows_editors_write(empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_bytes(b"\xef\xbb\xbf[fetch]\nretries = 7")
    assert load_settings().fetch.retries == 7
