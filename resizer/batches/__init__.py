"""The heart: batches come in, their images are handed to the engine, and they end."""

from resizer.batches.announcing import announcer
from resizer.batches.batches import Batches, open_batches
from resizer.batches.intake import Submission

__all__ = ["Batches", "Submission", "announcer", "open_batches"]
