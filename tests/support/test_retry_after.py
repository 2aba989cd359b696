import pytest

from resizer.support.retry_after import seconds_to_wait


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, float("inf")),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("²", None),
        ("", None),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
        ("0000 0000 0000 0000", None),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert seconds_to_wait(text) == seconds
