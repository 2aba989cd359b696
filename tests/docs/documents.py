"""The documents of this repository, and their fenced blocks, headings and links."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

FENCE = re.compile(r"^ *```(\w*)$")
HEADING = re.compile(r"^#{1,6} (.+)$")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`]*`")
NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The text between two fences."""

    language: str
    #: number of its first line, from 1
    line: int
    text: str

    def commands(self) -> list[str]:
        """Return the commands of a shell block; a backslash continues a line."""
        lines = self.text.replace("\\\n", "").splitlines()
        # repeated spaces only align comments
        return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]

    def follows(self, other: "Block") -> bool:
        """Return whether the block directly follows the other."""
        between = 3  # a fence, an empty line, a fence
        return self.line == other.line + other.text.count("\n") + between


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def blocks(self) -> list[Block]:
        blocks = []
        opened: tuple[str, int] | None = None
        lines: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            fence = FENCE.match(line)
            if opened is None and fence:
                opened, lines = (fence[1], number + 1), []
            elif opened is not None and fence:
                language, first = opened
                blocks.append(Block(language=language, line=first, text="\n".join(lines) + "\n"))
                opened = None
            else:
                lines.append(line)
        assert opened is None, f"{self.name}: a fence is not closed"
        return blocks

    def prose(self) -> Iterator[str]:
        """Yield the lines outside fences."""
        fenced = False
        for line in self.text.splitlines():
            if line.lstrip().startswith("```"):
                fenced = not fenced
            elif not fenced:
                yield line

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as repository hosts generate them."""
        seen: Counter[str] = Counter()
        anchors = set()
        for line in self.prose():
            if heading := HEADING.match(line):
                anchor = NOT_IN_ANCHORS.sub("", heading[1].lower()).replace(" ", "-")
                anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
                seen[anchor] += 1
        return anchors

    def links(self) -> set[str]:
        return {link for line in self.prose() for link in LINK.findall(CODE.sub("", line))}


def documents() -> list[Document]:
    paths = [ROOT / name for name in NAMES if (ROOT / name).exists()]
    paths += sorted((ROOT / "docs").glob("**/*.md"))
    return [read(path) for path in paths]


def read(path: Path) -> Document:
    return Document(path=path, text=path.read_text(encoding="utf-8"))
