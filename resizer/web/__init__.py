"""The HTTP API, its description, and the web page."""

from resizer.web.routes import setup_web

__all__ = ["setup_web"]
