"""What is kept of an origin's answer to ask it again by."""

import pytest

from resizer.fetch.validators import conditions, origin_info

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
LATER = "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(
    "text, kept",
    [
        ('"v1"', '"v1"'),
        ('W/"v1"', 'W/"v1"'),
        (' "v1" ', '"v1"'),
        ('""', '""'),
        ("v1", None),
        ('"v"1"', None),
        ('"v 1"', None),
        ('"' + "v" * 1001 + '"', None),
        ("", None),
    ],
)
def test_only_an_entity_tag_is_kept(text: str, kept: str | None) -> None:
    assert origin_info({"ETag": text}, "d").etag == kept


@pytest.mark.parametrize(
    "modified, date, kept",
    [
        (DATE, LATER, DATE),
        (DATE, "", DATE),
        (DATE, "no date", DATE),
        # what is written twice in one second has one date
        (DATE, DATE, None),
        (LATER, DATE, None),
        ("0", LATER, None),
        ("yesterday", LATER, None),
        ("Wed, 21 Oct 2015 07:28:00", LATER, None),
        ("", LATER, None),
    ],
)
def test_a_date_is_kept_where_it_cannot_hide_a_change(modified: str, date: str, kept: str | None) -> None:
    assert origin_info({"Last-Modified": modified, "Date": date}, "d").last_modified == kept


def test_a_304_that_tells_nothing_leaves_what_was_known() -> None:
    before = origin_info({"ETag": '"v1"'}, "d")
    assert origin_info({}, "d", before=before).etag == '"v1"'
    assert origin_info({"ETag": '"v2"'}, "d", before=before).etag == '"v2"'


def test_nothing_known_asks_for_nothing() -> None:
    assert conditions(origin_info({}, "d")) == {}
