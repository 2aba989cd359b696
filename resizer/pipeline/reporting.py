"""Log and count requests that have ended."""

import logging

from resizer.events import RequestFinished
from resizer.metrics import Metrics
from resizer.support.log_context import log_request_id

logger = logging.getLogger(__name__)


def report_finished(event: RequestFinished, metrics: Metrics) -> None:
    """Log a request's figures, and count it."""
    batch = event.batch
    metrics.request_finished(batch.status)
    seconds = (batch.finished_at or 0) - (batch.started_at or batch.created_at)
    with log_request_id(batch.request_id):
        logger.info(
            "request %s %s: %s completed, %s failed, %s cancelled, %s bytes in, %s bytes out, %.1f s",
            batch.request_id,
            batch.status,
            batch.completed,
            batch.failed,
            batch.cancelled,
            batch.input_bytes,
            batch.output_bytes,
            seconds,
            extra={
                "figures": {
                    "status": batch.status,
                    "images": batch.images,
                    "completed": batch.completed,
                    "failed": batch.failed,
                    "cancelled": batch.cancelled,
                    "input_bytes": batch.input_bytes,
                    "output_bytes": batch.output_bytes,
                    "seconds": round(seconds, 3),
                }
            },
        )
