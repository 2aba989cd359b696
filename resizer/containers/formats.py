"""Tell by bytes alone what a file is, and name the files of each format."""

import re
from enum import StrEnum
from typing import Final

from resizer.containers import tiff
from resizer.errors import NotAnImage, UnsupportedFormat


class Format(StrEnum):
    """The formats that are read; BMP and TIFF are never written, only kept, HEIF neither."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    AVIF = "avif"
    BMP = "bmp"
    TIFF = "tiff"
    #: HEIC most often; named as Pillow names it
    HEIF = "heif"


EXTENSIONS: Final = {
    Format.JPEG: ".jpg",
    Format.PNG: ".png",
    Format.WEBP: ".webp",
    Format.GIF: ".gif",
    Format.AVIF: ".avif",
    Format.BMP: ".bmp",
    Format.TIFF: ".tiff",
}

SUPPORTED: Final = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
)

#: image formats that are known but not read; longer prefixes before those that they begin with
UNSUPPORTED: Final = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF-", "PDF"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"icns", "ICNS"),
    (b"gimp xcf", "XCF"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"FLIF", "FLIF"),
    (b"BPG\xfb", "BPG"),
    (b"AT&TFORM", "DjVu"),
    (b"/* XPM */", "XPM"),
    (b"IIRO", "a raw camera file"),
    (b"IIRS", "a raw camera file"),
    (b"MMOR", "a raw camera file"),
    (b"IIU\0", "a raw camera file"),
    (b"FUJIFILMCCD-RAW", "a raw camera file"),
    (b"FOVb", "a raw camera file"),
)

#: what is no image but worth a name
OTHER: Final = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "data compressed with gzip"),
    (b"RIFF", "a sound or video file"),
    (b"OggS", "a sound or video file"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"ID3", "a sound file"),
)

HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
BMP_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
PNM: Final = re.compile(rb"P[1-7Ff]\s+(?:#|\d|WIDTH)")
HEAD: Final = 65536  # bytes of a text that are looked at; a comment may stand before the root of an SVG
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
    """Return the format; raises `NotAnImage` and `UnsupportedFormat`."""
    if not data:
        raise NotAnImage("an empty file")
    for magic, kind in SUPPORTED:
        if data.startswith(magic):
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
    if name := next((name for magic, name in OTHER if data.startswith(magic)), None):
        raise NotAnImage(name)
    raise _of_text(data)


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
    # two letters are no proof: a text may begin with them, but it has no zeros in it
    return int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES or b"\0" in data[:18]


def _unsupported(data: bytes) -> str | None:
    if name := next((name for magic, name in UNSUPPORTED if data.startswith(magic)), None):
        return name
    # what only looks so by its first bytes: two zeros where the number of icons stands
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
    """Return the name of the first element, in small letters, of what looks like markup."""
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
            # an internal subset has declarations of its own
            bracket, close = text.find("[", at), text.find(">", at)
            inner = text.find("]", bracket) if 0 <= bracket < close else at
            end = text.find(">", inner) + 1 if inner >= 0 else 0
        else:
            found = ROOT.match(text, at)
            return found[1].lower() if found else None
        if end <= at:
            return "unfinished"
        at = SPACE.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    return None


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # the cut may stand within a character
        return error.start >= len(head) - 3 and len(head) == HEAD
    return True
