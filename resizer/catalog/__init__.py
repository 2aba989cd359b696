"""Read the client's CSV, and write the result with the outcomes of its images."""

from resizer.catalog.header import Header
from resizer.catalog.parsing import CatalogReader
from resizer.catalog.problems import MAX_PROBLEMS
from resizer.catalog.result import ResultWriter, Slot
from resizer.catalog.urls import split_urls

__all__ = ["MAX_PROBLEMS", "CatalogReader", "Header", "ResultWriter", "Slot", "split_urls"]
