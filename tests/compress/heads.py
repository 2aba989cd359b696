"""Heads of images with next to nothing behind them."""

import struct
import zlib


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_head(width: int, height: int, *chunks: bytes, depth: int = 8, colours: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def tiff_head(**extra: int) -> bytes:
    tags = {256: 40000, 257: 40000, 258: 8, 259: 1, 262: 1, 273: 400, 277: 1, 278: 40000, 279: 1 << 30}
    tags |= {int(name[1:]): value for name, value in extra.items()}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + rows + b"\0\0\0\0"


def webp_head(width: int, height: int, frames: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0"
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body += b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frames * (b"ANMF" + struct.pack("<I", 16) + bytes(16))
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif_head(width: int, height: int, frames: int) -> bytes:
    image = b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x08\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + image * frames + b";"
