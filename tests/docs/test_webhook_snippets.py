"""The documented receivers accept events that the service signed, and nothing else."""

import asyncio
import base64
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from documents import ROOT, read
from reader import same_fields

from resizer.webhooks.signing import sign
from service import SECRET, Client, catalogue, settled, upload

OTHER_SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
FEED = {"python": ".py", "javascript": ".js", "php": ".php", "go": ".go"}
PACKAGES = {"javascript": ("node", "nodejs"), "php": ("php", "php-cli"), "go": ("go", "golang-go")}

#: code around a snippet: it reads calls as JSON from standard input, and prints a line for each: the
#: request's id, or nothing if the snippet refuses
PYTHON = """
import json, sys
for call in json.load(sys.stdin):
    try:
        print(receive(call["headers"], call["body"].encode())["data"]["request_id"])
    except Exception:
        print()
"""
JAVASCRIPT = """
for (const call of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
  try {
    console.log(receive(call.headers, Buffer.from(call.body)).data.request_id);
  } catch {
    console.log("");
  }
}
"""
PHP = """
foreach (json_decode(file_get_contents("php://stdin"), true) as $call) {
    $headers = $call["headers"];
    try {
        $event = receive(
            $headers["webhook-id"],
            $headers["webhook-timestamp"],
            $headers["webhook-signature"],
            $call["body"]
        );
        echo $event["data"]["request_id"], "\\n";
    } catch (RuntimeException) {
        echo "\\n";
    }
}
"""
GO = """
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var calls []struct {
		Headers map[string]string
		Body    string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&calls); err != nil {
		panic(err)
	}
	for _, call := range calls {
		headers := call.Headers
		event, err := receive(
			headers["webhook-id"],
			headers["webhook-timestamp"],
			headers["webhook-signature"],
			[]byte(call.Body),
		)
		if err != nil {
			fmt.Println()
		} else {
			fmt.Println(event["data"].(map[string]any)["request_id"])
		}
	}
}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An event as a receiver gets it."""

    headers: Mapping[str, str]
    body: str

    @property
    def request_id(self) -> str:
        return str(json.loads(self.body)["data"]["request_id"])

    def signed_anew(self, *, secret: str = SECRET, age: int = 0) -> "Call":
        sent = int(time.time()) - age
        return replace(self, headers=sign(secret, self.headers["webhook-id"], sent, self.body))

    def signed_with_nothing(self) -> "Call":
        sent = str(int(time.time()))
        message = f"{self.headers['webhook-id']}.{sent}.{self.body}".encode()
        signature = base64.b64encode(hmac.digest(b"", message, "sha256")).decode()
        return replace(
            self,
            headers={**self.headers, "webhook-timestamp": sent, "webhook-signature": f"v1,{signature}"},
        )


@pytest.fixture
async def call(serve: Callable[..., Awaitable[Client]]) -> Call:
    """What the service sends when a request has ended."""
    calls: list[Call] = []

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        wanted = {name: value for name, value in headers.items() if name.startswith("webhook-")}
        calls.append(Call(headers=wanted, body=await request.text()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/webhook", receive)
    async with TestServer(app) as server:
        client = await serve(webhook={"secret": SECRET})
        rows = catalogue([("Größe", "ftp://nowhere/a.jpg")])
        body = await upload(client, rows, webhook_url=str(server.make_url("/webhook")))
        await settled(client, body["request_id"])
        while not calls:
            async with client.get(f"/requests/{body['request_id']}/deliveries") as response:
                await response.read()
    assert calls[0].request_id == body["request_id"]
    return calls[0]


def snippet(language: str) -> str:
    blocks = read(ROOT / "docs" / "webhooks.md").blocks()
    (found,) = [block.text for block in blocks if block.language == language]
    return found


def program(language: str, folder: Path) -> list[str]:
    """Write the snippet as a whole program; returns the command that runs it."""
    file = folder / f"receive{FEED[language]}"
    text = snippet(language)
    match language:
        case "python":
            file.write_text(text + PYTHON, encoding="utf-8")
            return [sys.executable, str(file)]
        case "javascript":
            file.write_text(text + JAVASCRIPT, encoding="utf-8")
            return ["node", str(file)]
        case "php":
            file.write_text(f"<?php\ndeclare(strict_types=1);\n{text}{PHP}", encoding="utf-8")
            return ["php", str(file)]
    main = folder / "main.go"
    file.write_text(text, encoding="utf-8")
    main.write_text(GO, encoding="utf-8")
    built = folder / "receive"
    subprocess.run(
        ["go", "build", "-o", str(built), str(main), str(file)],
        check=True,
        cwd=folder,
        env={**os.environ, "GO111MODULE": "off"},
    )
    return [str(built)]


async def test_event_that_is_shown_is_one_that_comes(call: Call) -> None:
    blocks = read(ROOT / "docs" / "webhooks.md").blocks()
    (shown,) = [json.loads(block.text) for block in blocks if block.language == "json"]
    assert same_fields(shown, json.loads(call.body))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", FEED)
async def test_snippet_takes_what_the_service_signs_and_nothing_else(
    language: str, call: Call, tmp_path: Path
) -> None:
    if language in PACKAGES and shutil.which(PACKAGES[language][0]) is None:
        pytest.skip(f"needs Debian's package {PACKAGES[language][1]}")
    # a receiver may know two secrets, a sender may sign with two
    both = {**call.headers, "webhook-signature": f"v1,AAAA {call.headers['webhook-signature']}"}
    refused = {
        "changed": replace(call, body=call.body.replace("failed", "fooled")),
        "another id": replace(call, headers={**call.headers, "webhook-id": "msg_other"}),
        "another's": call.signed_anew(secret=OTHER_SECRET),
        "old": call.signed_anew(age=360),
        "of the future": call.signed_anew(age=-360),
        "no time": replace(call, headers={**call.headers, "webhook-timestamp": "soon"}),
        "unsigned": replace(call, headers={**call.headers, "webhook-signature": "v1,"}),
    }
    calls = {"sent": call, "signed twice": replace(call, headers=both), **refused}
    command = program(language, tmp_path)
    taken = await taken_by(command, calls, secret=SECRET)
    assert taken == {why: "" if why in refused else call.request_id for why in calls}
    # anybody can sign with nothing
    forged = {"forged": call.signed_with_nothing()}
    for nothing in ("", "whsec_"):
        assert await taken_by(command, forged, secret=nothing) == {"forged": ""}


async def taken_by(command: list[str], calls: Mapping[str, Call], *, secret: str) -> dict[str, str]:
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        input=json.dumps([{"headers": dict(each.headers), "body": each.body} for each in calls.values()]),
        env={**os.environ, "WEBHOOK_SECRET": secret},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(calls, done.stdout.splitlines(), strict=True))
