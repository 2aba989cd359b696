"""State in SQLite: every statement, and the one writer."""

from resizer.database.cached_results import is_fresh, ran_beside
from resizer.database.copies import (
    Contents,
    back_up,
    check_database,
    count_noted,
    filenames,
    named_among,
    note_unnamed,
    restore,
    unnamed_among,
)
from resizer.database.database import Database, open_database
from resizer.database.deliveries import Deliveries
from resizer.database.image_queries import ResultRow
from resizer.database.imports import Intake, NewBatch
from resizer.database.outcomes import NewDelivery, WebhookEvents

__all__ = [
    "Contents",
    "Database",
    "Deliveries",
    "Intake",
    "NewBatch",
    "NewDelivery",
    "ResultRow",
    "WebhookEvents",
    "back_up",
    "check_database",
    "count_noted",
    "filenames",
    "is_fresh",
    "named_among",
    "note_unnamed",
    "open_database",
    "ran_beside",
    "restore",
    "unnamed_among",
]
