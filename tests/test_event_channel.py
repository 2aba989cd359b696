"""Events are delivered to the subscribers of their type."""

import pytest

from resizer.events import Event, Events, FilesUnused, RequestsChanged


def test_subscribers_of_a_type_are_called_in_their_order() -> None:
    events = Events()
    calls: list[tuple[str, Event]] = []
    events.subscribe(FilesUnused, lambda event: calls.append(("first", event)))
    events.subscribe(RequestsChanged, lambda event: calls.append(("other", event)))
    events.subscribe(FilesUnused, lambda event: calls.append(("second", event)))
    events.publish(FilesUnused())
    assert calls == [("first", FilesUnused()), ("second", FilesUnused())]


def test_subscriber_that_fails_keeps_the_event_from_no_other(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    calls: list[Event] = []

    def broken(event: FilesUnused) -> None:
        raise RuntimeError(f"not {event}")

    events.subscribe(FilesUnused, broken)
    events.subscribe(FilesUnused, calls.append)
    events.publish(FilesUnused())
    assert calls == [FilesUnused()]
    assert "cannot handle FilesUnused" in caplog.text
    assert "RuntimeError" in caplog.text
