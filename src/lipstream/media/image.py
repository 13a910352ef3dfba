"""Decodes pictures in any format that Pillow reads to upright 8-bit sRGB with even sides."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from lipstream.errors import ImageError
from lipstream.media.colour import rgb_converter

MIN_SIDE = 32
"""Pictures with a shorter side cannot show a face, pixels."""
MAX_SIDE = 16_384
"""The longest side that x264 encodes, pixels."""

_KINDS = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"

# PostScript and Windows metafiles are programs (for the first, Pillow starts Ghostscript). The others need a loader
# that does not come with Pillow.
_REFUSED = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5"})

# A file with the signature of one of these formats that cannot be decoded is incomplete or damaged. The signatures of
# other formats are so short that they occur by chance.
_CERTAIN = frozenset({"JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000"})

# These contain whole PNG files, which may be larger than the icon claims, and decode them to read their own header.
_ICONS = frozenset({"ICO", "ICNS"})

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_GENERAL_BRANDS = frozenset({b"mif1", b"msf1"})  # HEIC or AVIF, depending on the brands that follow
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

# Pillow recognises these by their signature, but they are videos.
_FILMS = frozenset({"MPEG", "FLI"})

_STRIP_PIXELS = 1 << 19
"""How many are converted at a time, so that a large picture needs memory only once besides the result."""


def decode_picture(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a picture to (height, width, 3) uint8 BGR: sRGB, upright, on white. If a side is odd, its last line is
    repeated.

    Only the first frame of an animation is decoded. The size is checked before any pixel is. Raises
    :class:`lipstream.errors.ImageError`: ``not_an_image``, ``image_truncated``, ``image_too_large``,
    ``image_too_small``.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")  # about odd metadata, which does not matter here
        with _open(data, max_pixels) as image:
            _refuse_large(image.size, max_pixels)
            _refuse_small(image.size)
            try:
                image.load()
                return _upright_bgr(image)
            except Exception as error:  # on damaged files, Pillow's decoders raise nearly any exception
                raise _unreadable(image.format) from error


def looks_like_picture(data: bytes) -> bool:
    """Whether a file begins like one of the picture formats, supported or not. Decodes nothing."""
    if _is_heic(data):
        return True
    Image.init()
    signatures = (Image.OPEN[name][1] for name in Image.ID if name not in _FILMS)
    return any(accepts is not None and accepts(data[:16].ljust(16, b"\0")) is True for accepts in signatures)


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header only. Unlike ``Image.open``, this has no size limit of its own."""
    if not data:
        raise ImageError("not_an_image", f"The picture's file is empty. Send a {_KINDS} file.")
    if _is_heic(data):
        raise ImageError("not_an_image", f"HEIC photos cannot be read. Save the picture as {_KINDS} and send that.")
    Image.init()
    # Formats without a signature accept too much to be tried first.
    for name in sorted(Image.ID, key=lambda name: Image.OPEN[name][1] is None):
        factory, accepts = Image.OPEN[name]
        if name in _REFUSED:
            continue
        try:
            if accepts and accepts(data[:16]) is not True:
                continue
            if name in _ICONS:
                for size in _png_sizes(data):
                    _refuse_large(size, max_pixels)
            return factory(io.BytesIO(data), "")
        except ImageError:
            raise
        except Exception as error:
            if name in _CERTAIN:
                raise _unreadable(name) from error
    raise _unreadable(None)


def _is_heic(data: bytes) -> bool:
    """Decided by the file's first box, which names its brand and compatible brands (ISO/IEC 14496-12, 4.3)."""
    size, kind, brand = data[:4], data[4:8], data[8:12]
    others = {data[at : at + 4] for at in range(16, min(int.from_bytes(size, "big"), 128), 4)}
    return kind == b"ftyp" and (brand in _HEIC_BRANDS or (brand in _GENERAL_BRANDS and not others & _AVIF_BRANDS))


def _unreadable(format_name: str | None) -> ImageError:
    if format_name in _CERTAIN:
        return ImageError("image_truncated", "The picture is incomplete or damaged. Send the whole file again.")
    return ImageError("not_an_image", f"The picture could not be read. Send a {_KINDS} file.")


def _png_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of every PNG file inside ``data``."""
    at = data.find(b"IHDR")
    while 0 <= at <= len(data) - 12:
        yield struct.unpack(">II", data[at + 4 : at + 12])
        at = data.find(b"IHDR", at + 4)


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            "image_too_large",
            f"The picture has {width} × {height} pixels, {width * height / 1e6:.1f} million; "
            f"up to {max_pixels / 1e6:g} million are allowed. Make it smaller.",
        )
    if max(size) > MAX_SIDE:
        raise ImageError(
            "image_too_large",
            f"The picture has {width} × {height} pixels; a side may have at most {MAX_SIDE}. Make it smaller.",
        )


def _refuse_small(size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        raise ImageError(
            "image_too_small",
            f"The picture has {width} × {height} pixels; each side needs at least {MIN_SIDE}. Use a larger one.",
        )


def _upright_bgr(image: Image.Image) -> NDArray[np.uint8]:
    orientation = _orientation(image)
    to_rgb = rgb_converter(image)
    width, height = image.size if orientation < 5 else image.size[::-1]
    picture = np.empty((height + height % 2, width + width % 2, 3), np.uint8)
    stored = _as_stored(picture[:height, :width], orientation)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        stored[top : top + rows] = to_rgb(strip)[..., ::-1]
    picture[height:] = picture[height - 1 : height]
    picture[:, width:] = picture[:, width - 1 : width]
    return picture


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8. Damaged or invalid values count as upright."""
    try:
        orientation = int(image.getexif().get(0x0112, 1))
    except Exception:  # EXIF data is often malformed although the picture itself is fine
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of the upright picture with rows and columns as in the file (EXIF 2.32, table of tag 0x0112)."""
    view = upright.swapaxes(0, 1) if orientation >= 5 else upright
    if orientation in (3, 4, 6, 7):
        view = view[::-1]
    if orientation in (2, 3, 7, 8):
        view = view[:, ::-1]
    return view
