"""HTML put together from texts, each escaped once."""

import re
from collections.abc import Iterable
from html import escape

#: what is written `so` in descriptions
CODE = re.compile(r"`([^`]+)`")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """Make an element; what is no `Html` is escaped. `class_` stands for `class`."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{told}>{joined(content)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part, quote=False) for part in parts))


def prose(text: str) -> Html:
    """Make one line of a description: what stands between backticks becomes code."""
    return Html(CODE.sub(r"<code>\1</code>", escape(text, quote=False)))


def paragraphs(text: str) -> Html:
    return joined(tag("p", prose(each.strip())) for each in text.split("\n\n") if each.strip())
