"""HTTP: requests in, batches asked, answers out."""

from resizer.web.routes import setup_web

__all__ = ["setup_web"]
