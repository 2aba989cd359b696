"""Print figures as Markdown tables with aligned columns."""

from collections.abc import Sequence

Cell = str | float | int | None


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    print(f"\n{title}\n\n{table(header, rows)}", flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return the table, with the first column aligned left and the others right."""
    lines = [list(header), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (lines[0], rule, *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    columns = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "| " + " | ".join(columns) + " |"


def _text(cell: Cell) -> str:
    """Format a number to about three significant digits."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:  # noqa: PLR2004
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"  # noqa: PLR2004
