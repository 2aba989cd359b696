"""State in SQLite: every statement, and the one writer."""

from resizer.database.database import Announce, Database, NewDelivery, ResultRow, open_database
from resizer.database.deliveries import Deliveries
from resizer.database.intake import Intake, NewBatch

__all__ = [
    "Announce",
    "Database",
    "Deliveries",
    "Intake",
    "NewBatch",
    "NewDelivery",
    "ResultRow",
    "open_database",
]
