"""The heart: batches come in, their images are handed to the engine, and they end."""

from resizer.pipeline.collector import GRACE, unnamed_files
from resizer.pipeline.importing import Submission
from resizer.pipeline.lifecycle import Batches, open_batches
from resizer.pipeline.removing import Remover
from resizer.webhooks.webhook_events import announcer

__all__ = ["GRACE", "Batches", "Remover", "Submission", "announcer", "open_batches", "unnamed_files"]
