"""A real S3 server on loopback: moto's, in its own process."""

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

REGION = "us-east-1"
#: seconds for the server's start on a busy machine
PATIENCE = 120
_NUMBERS = count(1)


@dataclass
class S3Server:
    """The server, which can be stopped and restarted without its data."""

    port: int
    log: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urlopen(f"{self.endpoint}/moto-api/data.json", timeout=5).close()
            except (URLError, OSError) as error:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError(f"moto does not start: {self.log.read_text()}") from error
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def bucket(self) -> str:
        """Create a bucket with a new name; moto accepts any credentials."""
        name = f"pictures-{next(_NUMBERS)}"
        self.make_bucket(name)
        return name

    def make_bucket(self, name: str) -> None:
        urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30).close()


def free_port() -> int:
    """Return a currently free port on loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("no S3 server here: pip install 'moto[server]'")
    server = S3Server(free_port(), tmp_path_factory.mktemp("s3") / "log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_settings(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the configuration for a new bucket; credentials are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    return {
        "kind": "s3",
        "bucket": s3.bucket(),
        "prefix": "shop/images",
        "endpoint": s3.endpoint,
        "region": REGION,
    }
