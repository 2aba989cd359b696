"""The compose files: Compose reads them, and they hold to what the service needs."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import DEPLOY, Running, output_of, program

from cluster import READY
from process import Process
from resizer.config import check_exposure, load_settings
from s3 import S3Server, free_port

SINGLE = "compose.yaml"
DISTRIBUTED = "compose.distributed.yaml"
both = pytest.mark.parametrize("name", [SINGLE, DISTRIBUTED])
#: `${NAME:?what to do}` and `${NAME:-instead}`
VARIABLE = re.compile(r"\$\{(\w+):([?-])([^}]*)\}")
#: seconds that answers under way get when stopping
ANSWERS = 5
FILLED_IN = {
    "RESIZER_SERVER__API_TOKENS": "a,b",
    "RESIZER_SERVER__PUBLIC_URL": "https://images.example.com",
    "RESIZER_SERVER__ALLOWED_HOSTS": "server,img.example.com",
    "REDIS_PASSWORD": "0f1e2d3c",
    "AWS_ACCESS_KEY_ID": "resizer",
    "AWS_SECRET_ACCESS_KEY": "4b5a6978",
}


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return found


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(name)["services"]
    return found


def own_services(name: str) -> dict[str, dict[str, Any]]:
    return {each: service for each, service in services(name).items() if service["image"] == "resizer"}


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Put in variables as Compose does."""
    text = VARIABLE.sub(lambda found: values.get(found[1], found[3] if found[2] == "-" else ""), text)
    return text.replace("$$", "$")


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def variables_of(name: str) -> Iterator[re.Match[str]]:
    return VARIABLE.finditer((DEPLOY / name).read_text(encoding="utf-8"))


def config_of(name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What Compose makes of a file; no daemon is asked."""
    tool = program("docker-compose", package="docker-compose")
    text = (DEPLOY / name).read_text(encoding="utf-8")
    # the first generation, which Debian 12 has, does not know it
    copy = folder / name
    copy.write_text(re.sub(r"^name: .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    kept = {each: value for each, value in os.environ.items() if each not in FILLED_IN}
    return subprocess.run(
        [tool, "--file", str(copy), "--project-directory", str(DEPLOY), "config"],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@both
def test_compose_takes_the_file(name: str, tmp_path: Path) -> None:
    ended = config_of(name, tmp_path, **FILLED_IN)
    assert ended.returncode == 0, ended.stderr
    assert services(name).keys() == yaml.safe_load(ended.stdout)["services"].keys()


@both
def test_compose_asks_for_secrets(name: str, tmp_path: Path) -> None:
    needed = {found[1] for found in variables_of(name) if found[2] == "?"}
    ended = config_of(name, tmp_path, **{**FILLED_IN, **dict.fromkeys(needed, "")})
    assert ended.returncode != 0
    assert "set it in deploy/.env" in ended.stderr
    assert any(each in ended.stderr for each in needed)


def test_what_is_asked_for_is_what_the_example_lists() -> None:
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    listed = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    asked = {found[1] for name in (SINGLE, DISTRIBUTED) for found in variables_of(name)}
    assert sorted(listed) == sorted(asked) == sorted(FILLED_IN)
    assert (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()[-1] == ".env"


@both
def test_each_variable_is_a_key_of_the_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in own_services(name).values():
        with monkeypatch.context() as patched:
            for key in [each for each in os.environ if each.startswith("RESIZER_")]:
                patched.delenv(key)
            # as the image has it
            patched.setenv("RESIZER_SERVER__HOST", "0.0.0.0")
            for key, text in service["environment"].items():
                patched.setenv(key, filled_in(text, FILLED_IN))
            settings = load_settings(None, {})
            if service.get("command") != ["worker"]:
                check_exposure(settings.server)
            if name == DISTRIBUTED:
                assert settings.engine.kind == "celery"
                assert settings.engine.broker_url == "redis://:0f1e2d3c@redis:6379/0"
                assert (settings.storage.kind, settings.storage.bucket) == ("s3", "images")
            else:
                assert (settings.engine.kind, settings.storage.kind) == ("local", "local")
            assert seconds(service["stop_grace_period"]) > settings.queue.shutdown_grace + ANSWERS


@both
def test_other_containers_may_ask_by_the_name_of_the_service(name: str) -> None:
    for each, service in own_services(name).items():
        if service.get("command") != ["worker"]:
            assert filled_in(service["environment"]["RESIZER_SERVER__ALLOWED_HOSTS"], {}) == each


@both
def test_every_container_is_confined(name: str) -> None:
    for each, service in services(name).items():
        assert service["read_only"] is True, each
        assert service["cap_drop"] == ["ALL"], each
        assert service["security_opt"] == ["no-new-privileges:true"], each
        assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"], each
        assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys(), each
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), each


@both
def test_what_is_named_is_there(name: str) -> None:
    whole = compose(name)
    used = [mount.partition(":")[0] for each in services(name).values() for mount in each.get("volumes", ())]
    assert sorted(used) == sorted(whole["volumes"])
    networks = {network for each in services(name).values() for network in each.get("networks", ())}
    assert networks == {*whole.get("networks", ())}
    for each, service in services(name).items():
        if "build" in service:
            folder = (DEPLOY / service["build"]["context"]).resolve()
            assert (folder / service["build"]["dockerfile"]).exists()
        else:
            # a version of its own, not the newest of the day
            assert re.search(r":v?\d", service["image"]), each
        for other, wanted in service.get("depends_on", {}).items():
            needed = services(name)[other]
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in needed, other
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert needed["restart"] == "no", other


def test_the_store_and_the_broker_are_reached_from_inside_alone() -> None:
    assert compose(DISTRIBUTED)["networks"]["inside"] == {"internal": True}
    for each, service in services(DISTRIBUTED).items():
        expected = ["inside", "outside"] if each in own_services(DISTRIBUTED) else ["inside"]
        assert service["networks"] == expected, each
        assert ("ports" in service) == (each == "server"), each


@pytest.mark.early(2)
async def test_the_broker_wants_its_password_and_the_worker_is_asked_whether_it_lives(tmp_path: Path) -> None:
    program("redis-server", package="redis-server")
    client = program("redis-cli", package="redis-tools")
    broker, worker = services(DISTRIBUTED)["redis"], services(DISTRIBUTED)["worker"]
    port = free_port()
    environment = {each: filled_in(text, FILLED_IN) for each, text in broker["environment"].items()}
    *shell, script = (filled_in(each, FILLED_IN) for each in broker["command"])
    script = script.replace("/tmp/", f"{tmp_path}/").replace("--dir /data", f"--dir {tmp_path}").rstrip()
    script += f" --port {port} --bind 127.0.0.1"
    asks = broker["healthcheck"]["test"]
    assert asks[0] == "CMD-SHELL"
    ping = asks[1].replace("redis-cli", f"{client} -p {port}")
    own = {**os.environ, **environment}
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Running(*shell, script, env=own))
        await redis.listens(port)
        output_of("sh", "-c", ping, **environment)
        with pytest.raises(AssertionError, match="ended with 1"):
            output_of("sh", "-c", ping, REDISCLI_AUTH="")
        assert FILLED_IN["REDIS_PASSWORD"] not in arguments_of(redis.pid)

        settings = {each: filled_in(text, FILLED_IN) for each, text in worker["environment"].items()}
        address = settings["RESIZER_ENGINE__BROKER_URL"].replace("redis:6379", f"127.0.0.1:{port}")
        # files in place of a store
        variables = {"RESIZER_ENGINE__KIND": "celery", "RESIZER_ENGINE__BROKER_URL": address}
        data = tmp_path / "data"
        running = Process("worker", "--data-dir", data, variables=variables)
        await stack.enter_async_context(running)
        await running.said(READY)
        kind, python, *check = (filled_in(each, {}) for each in worker["healthcheck"]["test"])
        assert (kind, python) == ("CMD", "python")
        assert output_of(sys.executable, *check, **variables) == ""
        running.signal(signal.SIGKILL)
        await running.ended()
        with pytest.raises(AssertionError, match="ended with 1"):
            output_of(sys.executable, *check, **variables)


def arguments_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8")


@pytest.mark.early(2)
def test_the_bucket_is_made_once(s3: S3Server, tmp_path: Path) -> None:
    if shutil.which("aws") is None:
        pytest.skip("no AWS client here: apt-get install awscli")
    bucket = services(DISTRIBUTED)["bucket"]
    *shell, script = (filled_in(each, FILLED_IN) for each in (*bucket["entrypoint"], *bucket["command"]))
    assert script.count("http://store:7070") == 1
    script = script.replace("http://store:7070", s3.endpoint)
    environment = {each: filled_in(text, FILLED_IN) for each, text in bucket["environment"].items()}
    for _ in range(2):
        output_of(*shell, script, **{**environment, "HOME": str(tmp_path)})
    listed = output_of("aws", "--endpoint-url", s3.endpoint, "s3", "ls", **environment)
    assert [line.split()[-1] for line in listed.splitlines()].count("images") == 1
