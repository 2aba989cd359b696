"""Collect the problems of a CSV."""

from resizer.errors import CatalogError, Problem

MAX_PROBLEMS = 100  # listed in a refusal (docs/formats.md)
SHOWN = 60  # characters of the client's text in a message


class Problems:
    """The problems of one CSV."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, line: int, column: int, message: str) -> None:
        """Add a problem; raise CatalogError when the list is full."""
        self.found.append(Problem(line=line, column=column, message=message))
        if len(self.found) == MAX_PROBLEMS:
            self.refuse()

    def refuse(self) -> None:
        """Raise CatalogError if there is any problem."""
        if self.found:
            raise self.error()

    def error(self) -> CatalogError:
        # problems of the whole file are found last, and belong to the header's line
        return CatalogError(tuple(sorted(self.found, key=lambda problem: problem.line)))


def shown(text: str) -> str:
    """Quote the client's text for a message: on one line, and short."""
    line = " ".join(text[: 4 * SHOWN].split())
    return f'"{line[:SHOWN]}…"' if len(line) > SHOWN else f'"{line}"'
