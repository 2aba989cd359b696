"""State in SQLite: every statement, and the one writer."""

from resizer.database.database import Database, ResultRow, open_database
from resizer.database.deliveries import Deliveries
from resizer.database.intake import Intake, NewBatch
from resizer.database.known import is_fresh, ran_beside
from resizer.database.outcomes import Announce, NewDelivery

__all__ = [
    "Announce",
    "Database",
    "Deliveries",
    "Intake",
    "NewBatch",
    "NewDelivery",
    "ResultRow",
    "is_fresh",
    "open_database",
    "ran_beside",
]
