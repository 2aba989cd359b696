"""Who descends from a process, as /proc tells it."""

from collections import defaultdict
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Every process below it, nearest first."""
    children = _children()
    found = [pid]
    for each in found:
        found.extend(children[each])
    return found[1:]


def named(word: str, pids: list[int]) -> list[int]:
    """Those whose command line holds the word."""
    return [pid for pid in pids if word in _read(pid, "cmdline")]


def parent_of(pid: int) -> int:
    """Its parent; 0 where it is gone."""
    # the name of the program stands in brackets, and may hold any
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _children() -> defaultdict[int, list[int]]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children[parent_of(int(entry.name))].append(int(entry.name))
    return children


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
