"""The heart: batches come in, their images are handed to the engine, and they end."""

from resizer.batches.announcing import announcer
from resizer.batches.batches import Batches, open_batches
from resizer.batches.collector import GRACE, unnamed_files
from resizer.batches.intake import Submission
from resizer.batches.removing import Remover

__all__ = ["GRACE", "Batches", "Remover", "Submission", "announcer", "open_batches", "unnamed_files"]
