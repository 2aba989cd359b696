"""JSON responses."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web


def answer_json(
    body: Any, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
