"""Collect what is wrong with a CSV until it is through, or until there is enough to refuse it."""

from resizer.errors import CatalogError, Problem

MAX_PROBLEMS = 100  # contract, section 4: the first 100 are listed

SHOWN = 60  # characters of the client's text in a message


class Problems:
    """The problems of one CSV, found in the order of its lines."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, line: int, column: int, message: str) -> None:
        """Note a problem; the one that fills the list ends the reading with CatalogError."""
        self.found.append(Problem(line=line, column=column, message=message))
        if len(self.found) == MAX_PROBLEMS:
            self.refuse()

    def refuse(self) -> None:
        """Raise CatalogError if there is any problem."""
        if self.found:
            raise self.error()

    def error(self) -> CatalogError:
        # what is true of the whole file is found last and stands at the header
        return CatalogError(tuple(sorted(self.found, key=lambda problem: problem.line)))


def shown(text: str) -> str:
    """Return the client's text as it can stand in a message: quoted, on one line, short."""
    line = " ".join(text[: 4 * SHOWN].split())
    return f'"{line[:SHOWN]}…"' if len(line) > SHOWN else f'"{line}"'
