import gzip
import struct

import pytest
from pictures import every_format

from resizer.containers.formats import Format, sniff
from resizer.errors import NotAnImage, UnsupportedFormat

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
PROLOG = '<?xml version="1.0"?>\n<!-- made by <svg> & co -->\n'
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd" [\n <!ENTITY a "b>">\n]>\n'


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + b"\0\0\0\0" + b"".join(brands[1:])
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + b"\0" * 64


def directory(*entries: tuple[int, int, int]) -> bytes:
    """Make the head of a TIFF; an entry is tag, type and value."""
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + b"\0\0\0\0"


@pytest.mark.parametrize("name, data", every_format().items(), ids=every_format())
def test_each_supported_format_is_recognized_by_its_bytes(name: str, data: bytes) -> None:
    expected = {"progressive": "jpeg", "cmyk": "jpeg", "apng": "png"}.get(
        name, name.split("_", maxsplit=1)[0]
    )
    assert sniff(data) == Format(expected)


def test_avif_is_recognized_by_any_of_its_brands() -> None:
    assert sniff(ftyp(b"mif1", b"miaf", b"avif")) is Format.AVIF


@pytest.mark.parametrize(
    "data, name",
    [
        (SVG.encode(), "SVG"),
        (b"\xef\xbb\xbf" + SVG.encode(), "SVG"),
        (("\ufeff" + SVG).encode("utf-16-le"), "SVG"),
        (("\ufeff" + SVG).encode("utf-16-be"), "SVG"),
        (f"\r\n\t  {SVG}".encode(), "SVG"),
        ((PROLOG + SVG).encode(), "SVG"),
        ((PROLOG + DOCTYPE + "<!-- x -->" + SVG).encode(), "SVG"),
        (b"<!doctype svg><svg>", "SVG"),
        (b'<s:svg xmlns:s="http://www.w3.org/2000/svg">', "SVG"),
        (("<!--" + "x" * 60000 + "-->" + SVG).encode(), "SVG"),
        (ftyp(b"crx ", b"isom"), "a raw camera file"),
        (b"\xff\x0a\x00\x10", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\0\0\1\0\1\0\x10\x10\0\0", "ICO"),
        (b"\0\0\2\0\1\0\x10\x10\0\0", "CUR"),
        (b"8BPS\0\1", "PSD"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6\0", "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b"P6\n# made\n3 3\n255\n", "PNM"),
        (b"P1 2 2 0 1", "PNM"),
        (b"qoif\0\0\0\x10", "QOI"),
        (b"DDS \x7c\0", "DDS"),
        (b"icns\0\0", "ICNS"),
        (b"gimp xcf file\0", "XCF"),
        (b"\xd7\xcd\xc6\x9a\0\0", "WMF"),
        (b"\1\0\0\0" + b"\0" * 36 + b" EMF", "EMF"),
        (b"\x76\x2f\x31\x01\2\0", "OpenEXR"),
        (b"\0\0\2" + b"\0" * 40 + b"TRUEVISION-XFILE.\0", "TGA"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"II*\0\x10\0\0\0CR\2\0", "a raw camera file"),
        (directory((254, 4, 1), (330, 4, 900)), "a raw camera file"),
        (directory((50706, 1, 0x0401)), "a raw camera file"),
        (directory((262, 3, 32803)), "a raw camera file"),
        (b"IIRO\x08\0\0\0", "a raw camera file"),
    ],
)
def test_other_image_formats_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        sniff(data)
    assert refusal.value.found == name


@pytest.mark.parametrize(
    "data, found",
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"\n<!doctype HTML>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf<html lang=en>", "an HTML page"),
        (b"<!-- hi --><HTML><svg></svg></HTML>", "an HTML page"),
        (b"<p>not found</p>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"error": "not found"}', "JSON"),
        (b'[{"a": 1}]', "JSON"),
        (b"Not found", "text"),
        (b"BMW sells cars", "text"),
        (b"   \n ", "text"),
        ("Größe".encode(), "text"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (gzip.compress(SVG.encode(), mtime=0), "data compressed with gzip"),
        (ftyp(b"isom", b"mp42"), "a video"),
        (b"\x1aE\xdf\xa3\x01", "a video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a sound or video file"),
        (bytes(range(256)), "data of an unknown kind"),
        (b"\0" * 100, "data of an unknown kind"),
        (b"\xfe\xfa\xf0\x99 caf\xe9", "data of an unknown kind"),
    ],
)
def test_what_is_no_image_is_refused_by_what_it_is(data: bytes, found: str) -> None:
    with pytest.raises(NotAnImage) as refusal:
        sniff(data)
    assert refusal.value.found == found


@pytest.mark.parametrize(
    "text", ["<!--" * 9000, "<![" * 9000, "<!DOCTYPE [" * 4000, "<?" * 30000, "<" * 60000, "<!>" * 20000]
)
def test_markup_that_never_ends_is_looked_at_once(text: str) -> None:
    with pytest.raises((NotAnImage, UnsupportedFormat)):
        sniff(text.encode())


def test_a_cut_off_supported_format_is_still_recognized() -> None:
    assert sniff(b"\xff\xd8\xff") is Format.JPEG
    assert sniff(b"BM\x36\0\0\0\0\0") is Format.BMP
    assert sniff(b"MM\0*") is Format.TIFF
