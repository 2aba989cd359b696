"""HTML built from texts, each escaped once."""

import re
from collections.abc import Iterable
from html import escape
from typing import Final

#: `code` in descriptions
CODE: Final = re.compile(r"`([^`]+)`")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """Return an element; content that is not `Html` is escaped. `class_` is the attribute `class`."""
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{text}>{joined(content)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part, quote=False) for part in parts))


def prose(text: str) -> Html:
    """Return one line of a description, with code for text between backticks."""
    return Html(CODE.sub(r"<code>\1</code>", escape(text, quote=False)))


def paragraphs(text: str) -> Html:
    return joined(tag("p", prose(each.strip())) for each in text.split("\n\n") if each.strip())


def definitions(entries: Iterable[tuple[str, str, str]]) -> Html:
    """Return a list of terms, each with a type and a description; nothing if it is empty."""
    items = [
        tag("dt", tag("code", term), " ", tag("span", kind, class_="type")) + tag("dd", prose(text))
        for term, kind, text in entries
    ]
    return tag("dl", *map(Html, items)) if items else Html()
