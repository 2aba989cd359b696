"""Recognize the format of a file by its bytes, and name the files of each format."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from resizer.containers import tiff
from resizer.errors import NotAnImage, UnsupportedFormat

Name = TypeVar("Name", bound=str)


class Format(StrEnum):
    """The formats that are read; BMP and TIFF are kept but never written, HEIF neither."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    AVIF = "avif"
    BMP = "bmp"
    TIFF = "tiff"
    #: mostly HEIC; Pillow's name
    HEIF = "heif"


EXTENSIONS: Final[dict[Format, str]] = {
    Format.JPEG: ".jpg",
    Format.PNG: ".png",
    Format.WEBP: ".webp",
    Format.GIF: ".gif",
    Format.AVIF: ".avif",
    Format.BMP: ".bmp",
    Format.TIFF: ".tiff",
}

#: first bytes of files, by what they are
SUPPORTED: Final = {
    Format.JPEG: (b"\xff\xd8\xff",),
    Format.PNG: (b"\x89PNG\r\n\x1a\n",),
    Format.GIF: (b"GIF87a", b"GIF89a"),
}
UNSUPPORTED: Final = {
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "JPEG XR": (b"II\xbc\x01",),
    "PSD": (b"8BPS",),
    "EPS": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "PDF": (b"%PDF-",),
    "QOI": (b"qoif",),
    "DDS": (b"DDS ",),
    "ICNS": (b"icns",),
    "XCF": (b"gimp xcf",),
    "WMF": (b"\xd7\xcd\xc6\x9a",),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "FITS": (b"SIMPLE  =",),
    "Sun raster": (b"\x59\xa6\x6a\x95",),
    "MNG": (b"\x8aMNG\r\n\x1a\n",),
    "JNG": (b"\x8bJNG\r\n\x1a\n",),
    "FLIF": (b"FLIF",),
    "BPG": (b"BPG\xfb",),
    "DjVu": (b"AT&TFORM",),
    "XPM": (b"/* XPM */",),
    "a raw camera file": (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb"),
}
NOT_IMAGES: Final = {
    "a ZIP archive": (b"PK\x03\x04",),
    "data compressed with gzip": (b"\x1f\x8b",),
    "a sound or video file": (b"RIFF", b"OggS"),
    "a video": (b"\x1aE\xdf\xa3",),
    "a sound file": (b"ID3",),
}

HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
BMP_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
PNM: Final = re.compile(rb"P[1-7Ff]\s+(?:#|\d|WIDTH)")
HEAD: Final = 65536  # bytes of a text that are examined; a comment may precede the root of an SVG
BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
SPACE: Final = re.compile(r"\s*")
ROOT: Final = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")
HTML_ROOT: Final = re.compile(
    "!doctype html|html|head|body|title|meta|link|script|style|base|div|span|p|a|br|hr|h[1-6]|table|form|img"
    "|iframe|center|font|ul|ol|main|section|header|noscript|pre"
)
JSON_START: Final = re.compile(r'\{\s*["}]|\[\s*[\[{"\]\d-]')
CONTROLS: Final = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def sniff(data: bytes) -> Format:
    """Return the format. Raises `NotAnImage` and `UnsupportedFormat`."""
    if not data:
        raise NotAnImage("an empty file")
    if kind := _by_magic(data, SUPPORTED):
        return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if data.startswith(tiff.MAGIC):
        return _of_tiff(data)
    if data.startswith(b"BM") and _is_bmp(data):
        return Format.BMP
    if name := _unsupported(data):
        raise UnsupportedFormat(name)
    if name := _by_magic(data, NOT_IMAGES):
        raise NotAnImage(name)
    raise _of_text(data)


def _by_magic(data: bytes, magics: Mapping[Name, tuple[bytes, ...]]) -> Name | None:
    return next((name for name, starts in magics.items() if data.startswith(starts)), None)


def _of_tiff(data: bytes) -> Format:
    if data[8:10] == b"CR" or tiff.is_raw(data):
        raise UnsupportedFormat("a raw camera file")
    return Format.TIFF


def _of_brands(data: bytes) -> Format:
    end = min(max(int.from_bytes(data[:4]), 16), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(end, len(data)), 4))}
    if brands & {b"avif", b"avis"}:
        return Format.AVIF
    if brands & HEIF_BRANDS:
        return Format.HEIF
    if b"crx " in brands:
        raise UnsupportedFormat("a raw camera file")
    raise NotAnImage("a video")


def _is_bmp(data: bytes) -> bool:
    # A text may begin with the same two letters, but contains no zeros.
    return int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES or b"\0" in data[:18]


def _unsupported(data: bytes) -> str | None:
    if name := _by_magic(data, UNSUPPORTED):
        return name
    # Other data may begin alike, but not followed by a number of icons above zero.
    icons = {b"\0\0\1\0": "ICO", b"\0\0\2\0": "CUR"}.get(data[:4]) if data[4:6] != b"\0\0" else None
    if icons:
        return icons
    if data[:4] == b"\1\0\0\0" and data[40:44] == b" EMF":
        return "EMF"
    if data[128:132] == b"DICM":
        return "DICOM"
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "TGA"
    return "PNM" if PNM.match(data) else None


def _of_text(data: bytes) -> NotAnImage | UnsupportedFormat:
    head = data[:HEAD]
    encoding = next((name for bom, name in BOMS if head.startswith(bom)), None)
    text = head.decode(encoding or "latin-1", "replace").lstrip("\ufeff").strip()
    root = _root(text)
    if CONTROLS.search(text):
        found = "data of an unknown kind"
    elif root == "svg":
        return UnsupportedFormat("SVG")
    elif root and HTML_ROOT.fullmatch(root):
        found = "an HTML page"
    elif root:
        found = "an XML document"
    elif JSON_START.match(text):
        found = "JSON"
    else:
        found = "text" if encoding or _is_utf8(head) else "data of an unknown kind"
    return NotAnImage(found)


def _root(text: str) -> str | None:
    """Return the name of the first element, in lower case, of text that looks like markup."""
    at = 0
    while text.startswith("<", at):
        if text.startswith("<!--", at):
            end = text.find("-->", at) + 3
        elif text.startswith("<?", at):
            end = text.find("?>", at) + 2
        elif text.startswith("<!", at):
            doctype = text[at + 2 : at + 64].lower().split()
            if len(doctype) > 1 and doctype[1].rstrip(">").rstrip("[") == "html":
                return "!doctype html"
            # An internal subset contains declarations.
            bracket, close = text.find("[", at), text.find(">", at)
            inner = text.find("]", bracket) if 0 <= bracket < close else at
            end = text.find(">", inner) + 1 if inner >= 0 else 0
        else:
            found = ROOT.match(text, at)
            return found[1].lower() if found else None
        if end <= at:
            return "unfinished"
        at = SPACE.match(text, end).end()  # type: ignore[union-attr]  # it matches the empty string
    return None


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The head may end within a character.
        return error.start >= len(head) - 3 and len(head) == HEAD
    return True
