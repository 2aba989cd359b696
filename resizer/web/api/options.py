"""What an upload says besides its CSV, checked."""

import re
from collections.abc import Mapping

from aiohttp import web

from resizer.config import CompressSettings
from resizer.errors import InvalidUrl, OptionError
from resizer.fetch.addresses import parse_url
from resizer.recipe import BACKGROUND_EXPECTED, Recipe, background_from
from resizer.web.api.parameters import S, asked

#: what an upload may say besides its CSV
OPTIONS = frozenset(
    {"webhook_url", "quality", "format", "effort", "max_width", "max_height", "fit", "background"}
)
#: pixels; above this nothing that can be decoded is limited
MAX_SIDE = 1_000_000


def query_options(request: web.Request) -> dict[str, str]:
    """Return the options of the query; a form's own fields go before them. Raises `OptionError`."""
    given = {name: asked(request, name).strip() for name in OPTIONS}
    return {name: value for name, value in given.items() if value}


def recipe_from(options: Mapping[str, str], defaults: CompressSettings) -> Recipe:
    """Return the recipe asked for, each option for itself; `check_box` has the last word.

    Raises `OptionError`.
    """
    recipe = defaults.recipe()
    return Recipe(
        quality=_number(options, "quality", recipe.quality, 1, 100),
        format=_choice(options, "format", recipe.format),
        effort=_choice(options, "effort", recipe.effort),
        max_width=_number(options, "max_width", recipe.max_width, 0, MAX_SIDE),
        max_height=_number(options, "max_height", recipe.max_height, 0, MAX_SIDE),
        fit=_choice(options, "fit", recipe.fit),
        background=_background(options, recipe.background),
    )


def check_box(recipe: Recipe, settings: CompressSettings) -> None:
    """Raise `OptionError` where the fit asks for a box that the limits do not give."""
    if fault := recipe.box_fault(settings.max_pixels):
        raise OptionError("fit", str(recipe.fit), fault)


def webhook_url_from(options: Mapping[str, str]) -> str | None:
    """Return where this request's end is to be told. Raises `OptionError`."""
    url = options.get("webhook_url")
    if url is None:
        return None
    try:
        parse_url(url)
    except InvalidUrl as error:
        raise OptionError("webhook_url", url[:200], f"use an http or https URL ({error.reason})") from error
    return url


def _choice(options: Mapping[str, str], name: str, default: S) -> S:
    text = options.get(name, default)
    if text not in set(type(default)):
        raise OptionError(name, text[:200], "use one of " + ", ".join(type(default)))
    return type(default)(text)


def _background(options: Mapping[str, str], default: str) -> str:
    text = options.get("background", default)
    try:
        return background_from(text)
    except ValueError as error:
        raise OptionError("background", text[:200], f"use {BACKGROUND_EXPECTED}") from error


def _number(options: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise OptionError(name, text[:200], f"use a whole number from {least} to {most}")
    return int(text)
