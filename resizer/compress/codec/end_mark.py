"""Complete a JPEG that lacks nothing but its end mark; browsers show it, Pillow takes it for cut off."""

from typing import Final

import simplejpeg

END: Final = b"\xff\xd9"


def ended(data: bytes, mode: str) -> bytes | None:
    """Return the JPEG with its end mark; None where pixels are missing, too. `mode` is Pillow's for it."""
    whole = data.removesuffix(END[:1]) + END
    try:
        # the strict decoder of libjpeg-turbo is the judge; Pillow would take half a picture for a whole one
        simplejpeg.decode_jpeg(whole, {"L": "GRAY", "CMYK": "CMYK"}.get(mode, "RGB"))
    except ValueError:
        return None
    return whole
