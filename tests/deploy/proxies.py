"""A real nginx and a real Caddy as deploy/ sets them up, but for ports, folders and a smaller upload."""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from programs import DEPLOY, Running, program

from origin import self_signed
from s3 import free_port

NAME = "images.example.com"
#: bytes; of the copies in the tests, the service's beside it
SMALL_UPLOAD = 1_000_000

NGINX = "nginx.conf"
CADDY = "Caddyfile"

#: what nginx wants around a server, and what it would write elsewhere
NGINX_AROUND = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/resizer.conf;
}}
"""
CADDY_AROUND = """
{{
	admin off
	auto_https disable_redirects
	http_port {http}
}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """One at work, from a client's side."""

    port: int
    folder: Path

    @property
    def origin(self) -> str:
        return f"https://{NAME}:{self.port}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client that finds the name on loopback, and trusts the certificate."""
        trusting = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        trusting.check_hostname = False  # the certificate is the address's
        connector = aiohttp.TCPConnector(ssl=trusting, resolver=Loopback())
        async with aiohttp.ClientSession(self.origin, connector=connector) as session:
            yield session


class Loopback(AbstractResolver):
    """Finds every name on this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        del family
        return [
            {"hostname": host, "host": "127.0.0.1", "port": port, "family": AF_INET, "proto": 0, "flags": 0}
        ]

    async def close(self) -> None:
        pass


Start = Callable[[Path, int], AbstractAsyncContextManager[Proxy]]


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Replace each, which must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx_files(folder: Path, service: int) -> tuple[Path, int]:
    """Write a configuration for a service on this port; returns it and the port that it listens on."""
    http, https = free_port(), free_port()
    folder.mkdir()
    self_signed(folder)
    server = replaced(
        (DEPLOY / NGINX).read_text(encoding="utf-8"),
        ("127.0.0.1:8080;", f"127.0.0.1:{service};"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{https} ssl http2;"),
        ("/etc/ssl/images.example.com/fullchain.pem", f"{folder}/certificate.pem"),
        ("/etc/ssl/images.example.com/privkey.pem", f"{folder}/key.pem"),
        ("/var/cache/resizer", f"{folder}/cache"),
        ("client_max_body_size 100m;", "client_max_body_size 1m;"),
    )
    (folder / "resizer.conf").write_text(server, encoding="utf-8")
    main = folder / "nginx.conf"
    # its workers would be nobody's, who cannot look into the test's folder
    user = "user root;" if os.getuid() == 0 else ""
    main.write_text(NGINX_AROUND.format(folder=folder, user=user), encoding="utf-8")
    return main, https


@asynccontextmanager
async def nginx(folder: Path, service: int) -> AsyncIterator[Proxy]:
    binary = program("nginx", package="nginx-light")
    main, port = nginx_files(folder, service)
    async with Running(binary, "-p", folder, "-e", "stderr", "-c", main) as running:
        await running.listens(port)
        yield Proxy(port=port, folder=folder)


def caddy_file(folder: Path, service: int) -> tuple[Path, int]:
    http, https = free_port(), free_port()
    folder.mkdir()
    self_signed(folder)
    site = replaced(
        (DEPLOY / CADDY).read_text(encoding="utf-8"),
        (
            f"{NAME} {{",
            f"https://{NAME}:{https} {{\n\tbind 127.0.0.1\n\ttls {folder}/certificate.pem {folder}/key.pem",
        ),
        ("127.0.0.1:8080", f"127.0.0.1:{service}"),
        ("max_size 105MB", "max_size 1.05MB"),
        (r"^(10[5-9]|1[1-9]\d|[2-9]\d\d|\d{4,})\d{6}$", r"^(10[5-9]|1[1-9]\d|[2-9]\d\d|\d{4,})\d{4}$"),
    )
    written = folder / "Caddyfile"
    written.write_text(CADDY_AROUND.format(http=http) + site, encoding="utf-8")
    return written, https


@asynccontextmanager
async def caddy(folder: Path, service: int) -> AsyncIterator[Proxy]:
    binary = program("caddy", package="caddy")
    written, port = caddy_file(folder, service)
    command = (binary, "run", "--adapter", "caddyfile", "--config", written)
    async with Running(*command, env=caddy_environment(folder)) as running:
        await running.listens(port)
        yield Proxy(port=port, folder=folder)


def caddy_environment(folder: Path) -> dict[str, str]:
    """Where Caddy keeps what it writes."""
    return {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
