"""Find the descendants of a process in /proc."""

from collections import defaultdict
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return all descendants, nearest first."""
    children = _children()
    found = [pid]
    for each in found:
        found.extend(children[each])
    return found[1:]


def named(word: str, pids: list[int]) -> list[int]:
    """Return the descendants whose command line contains the word."""
    return [pid for pid in pids if word in _read(pid, "cmdline")]


def parent_of(pid: int) -> int:
    """Return its parent; 0 if the process is gone."""
    # the program's name is in parentheses, and may contain any character
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
