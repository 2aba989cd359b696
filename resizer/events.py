"""The typed channel by which rooms report events; only `app` subscribes to it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from resizer.models import Batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestsChanged:
    """A commit changed these batches."""

    batch_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """A commit gave this batch its final status, for the first time or after a retry."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class FilesUnused:
    """Files that perhaps no image uses; without names, a commit has noted them."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestDeleted:
    """A client or the retention deleted this batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class DeliveriesDue:
    """A webhook event is to be delivered now."""


Event = RequestsChanged | RequestFinished | RequestDeleted | FilesUnused | DeliveriesDue
E = TypeVar("E", RequestsChanged, RequestFinished, RequestDeleted, FilesUnused, DeliveriesDue)


class Events:
    """Calls the subscribers of an event's type, in the order in which they subscribed."""

    def __init__(self) -> None:
        self._subscribers: dict[type, list[Callable[[Any], object]]] = {}

    def subscribe(self, kind: type[E], subscriber: Callable[[E], object]) -> None:
        self._subscribers.setdefault(kind, []).append(subscriber)

    def publish(self, event: Event) -> None:
        """Call each subscriber; an error of one is logged, and the next ones are called."""
        for subscriber in self._subscribers.get(type(event), ()):
            try:
                subscriber(event)
            except Exception:
                logger.exception("cannot handle %s", type(event).__name__)
