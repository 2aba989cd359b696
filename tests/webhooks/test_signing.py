"""Signatures follow Standard Webhooks 1.0."""

import base64
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr

from resizer.config import WebhookSettings, is_signing_secret
from resizer.errors import ConfigError, SignatureError
from resizer.webhooks.signing import SECRET_FILE, load_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
BODY = b'{"type": "request.completed", "data": {"name": "S\xc3\xa9rie"}}'


def signed(*, age: int = 0, secret: str = SECRET, body: bytes = BODY) -> dict[str, str]:
    return sign(secret, "msg_1", int(time.time()) - age, body.decode())


def test_signature_equals_the_vector_of_the_specification() -> None:
    headers = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_signature_is_the_same_in_every_time_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        headers = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
        payload = verify(SECRET, signed(), BODY)
    time.tzset()

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert payload["type"] == "request.completed"


def test_verify_returns_the_payload_of_what_was_signed() -> None:
    assert verify(SECRET, signed(), BODY) == {"type": "request.completed", "data": {"name": "Série"}}


def test_verify_finds_its_signature_among_several_and_header_names_in_any_case() -> None:
    headers = signed()
    ours = headers["webhook-signature"]
    several = {
        "Webhook-Id": headers["webhook-id"],
        "WEBHOOK-TIMESTAMP": headers["webhook-timestamp"],
        "webhook-signature": f"v1a,c29tZXRoaW5n v1,{base64.b64encode(b'x' * 32).decode()} {ours}",
    }

    assert verify(SECRET, several, BODY)["type"] == "request.completed"


def test_verify_refuses_a_timestamp_that_was_not_signed() -> None:
    headers = {**signed(), "webhook-timestamp": str(int(time.time()) - 60)}

    with pytest.raises(SignatureError, match="does not match"):
        verify(SECRET, headers, BODY)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"webhook-id": None}, "header webhook-id is missing"),
        ({"webhook-timestamp": None}, "header webhook-timestamp is missing"),
        ({"webhook-signature": None}, "header webhook-signature is missing"),
        ({"webhook-signature": ""}, "header webhook-signature is missing"),
        ({"webhook-id": "msg_2"}, "does not match"),
        ({"webhook-id": "msg_\udcff"}, "malformed"),
        ({"webhook-timestamp": "yesterday"}, "not a whole number"),
        ({"webhook-timestamp": "1e9"}, "not a whole number"),
        ({"webhook-timestamp": "-1"}, "not a whole number"),
        ({"webhook-timestamp": "nan"}, "not a whole number"),
        ({"webhook-timestamp": "²"}, "not a whole number"),
        ({"webhook-timestamp": "9" * 400}, "Invalid Signature Headers"),
        ({"webhook-signature": "v1"}, "malformed"),
        ({"webhook-signature": "v1,a,b"}, "malformed"),
        ({"webhook-signature": "v1,abc"}, "malformed"),
        ({"webhook-signature": "v1,Série"}, "malformed"),
        ({"webhook-signature": "v1,"}, "does not match"),
        ({"webhook-signature": f"v1,{base64.b64encode(b'x' * 32).decode()}"}, "does not match"),
    ],
)
def test_verify_refuses_changed_headers(changed: dict[str, str | None], message: str) -> None:
    headers = {name: value for name, value in ({**signed(), **changed}).items() if value is not None}

    with pytest.raises(SignatureError, match=message):
        verify(SECRET, headers, BODY)


@pytest.mark.parametrize("version", ["v2", "v1a", "V1", ""])
def test_verify_refuses_a_right_signature_of_another_version(version: str) -> None:
    headers = signed()
    headers["webhook-signature"] = version + headers["webhook-signature"].removeprefix("v1")

    with pytest.raises(SignatureError, match="does not match"):
        verify(SECRET, headers, BODY)


@pytest.mark.parametrize(
    "body, message",
    [
        (BODY + b" ", "does not match"),
        (BODY.replace(b"completed", b"cancelled"), "does not match"),
        (b"", "does not match"),
        (b"\xff", "malformed"),
    ],
)
def test_verify_refuses_a_changed_body(body: bytes, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(SECRET, signed(), body)


@pytest.mark.parametrize(
    "body, message",
    [(b"", "not JSON$"), (b"{", "not JSON$"), (b"[" * 100_000, "not JSON$"), (b"[1]", "not a JSON object")],
)
def test_verify_refuses_what_is_signed_but_no_event(body: bytes, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(SECRET, signed(body=body), body)


@pytest.mark.parametrize("age, message", [(330, "older than 5 minutes"), (-330, "more than 5 minutes ahead")])
def test_verify_refuses_old_and_future_timestamps(age: int, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        verify(SECRET, signed(age=age), BODY)


@pytest.mark.parametrize("age", [270, -270])
def test_verify_takes_timestamps_within_five_minutes(age: int) -> None:
    assert verify(SECRET, signed(age=age), BODY)


def test_verify_refuses_another_secret() -> None:
    with pytest.raises(SignatureError, match="the same secret"):
        verify(SECRET, signed(secret=OTHER_SECRET), BODY)


def test_verify_refuses_a_second_id_beside_the_signed_one() -> None:
    """Otherwise an intercepted message could be counted again under another id."""
    headers = CIMultiDict([("webhook-id", "mine"), *signed().items()])

    with pytest.raises(SignatureError, match="webhook-id is repeated"):
        verify(SECRET, headers, BODY)


def test_configured_secret_is_used_and_no_file_made(tmp_path: Path) -> None:
    settings = WebhookSettings(secret=SecretStr(SECRET))

    assert load_secret(settings, tmp_path) == SECRET
    assert list(tmp_path.iterdir()) == []


def test_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"

    secret = load_secret(WebhookSettings(), folder)

    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert is_signing_secret(secret)
    assert load_secret(WebhookSettings(), folder) == secret
    assert [file.name for file in folder.iterdir()] == [SECRET_FILE]
    assert stat.S_IMODE((folder / SECRET_FILE).stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from resizer.config import WebhookSettings\n"
        "from resizer.webhooks.signing import load_secret\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(load_secret(WebhookSettings(), Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0] for process in processes}

    assert len(answers) == 1
    assert is_signing_secret(answers.pop().strip())
    assert [file.name for file in tmp_path.iterdir()] == [SECRET_FILE]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"whsec_", b"whsec_abc", b"MfKQ9r8GKYqr", b"\xff\xfe", b"whsec_ a"]
)
def test_broken_secret_file_is_named_and_kept(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / SECRET_FILE
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"webhook\.secret holds no signing secret") as caught:
        load_secret(WebhookSettings(), tmp_path)

    assert str(file) in str(caught.value)
    assert "delete the file" in str(caught.value)
    assert file.read_bytes() == content


def test_unreadable_secret_file_is_named(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).mkdir()

    with pytest.raises(ConfigError, match="cannot be created or read: Is a directory"):
        load_secret(WebhookSettings(), tmp_path)


def test_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(ConfigError, match="cannot be created or read"):
        load_secret(WebhookSettings(), tmp_path / "data")
