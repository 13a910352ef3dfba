"""Converts pictures of any Pillow mode to 8-bit sRGB, strip by strip."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Converter = Callable[[Image.Image], NDArray[np.uint8]]
"""Takes a strip of the picture that it was made for; returns (height, width, 3) uint8 RGB."""

_DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

# Pillow's mode for the colour space of an ICC profile (ICC.1:2010, table 19), and the modes such a profile describes.
_ICC_SPACES: dict[str, tuple[str, frozenset[str]]] = {
    "GRAY": ("L", _DEEP | {"1", "L", "LA", "La"}),
    "RGB": ("RGB", frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"})),
    "CMYK": ("CMYK", frozenset({"CMYK"})),
    "Lab": ("LAB", frozenset({"LAB"})),
}


def rgb_converter(image: Image.Image) -> Converter:
    """A function that converts strips of this (loaded) picture to sRGB. It takes care of depth, palette, transparency
    (shown on white) and colour profile."""
    white_level = _white_level(image)
    see_through = image.has_transparency_data and image.mode not in _DEEP
    profile = _profile(image)

    def convert(strip: Image.Image) -> NDArray[np.uint8]:
        if white_level:
            strip = _to_8_bit(strip, white_level)
        if not see_through:
            return np.asarray(_opaque_to_rgb(strip, profile))
        rgba = strip.convert("LA").convert("RGBA") if strip.mode == "La" else strip.convert("RGBA")
        paper = Image.new("RGB", strip.size, "white")
        paper.paste(_opaque_to_rgb(rgba.convert("RGB"), profile), mask=rgba.getchannel("A"))
        return np.asarray(paper)

    return convert


def _white_level(image: Image.Image) -> float | None:
    """The value that means white in a picture of more than 8 bits; None for 8 bits.

    Files with 32-bit integers or floats do not say it, so it is the smallest common one that no value exceeds.
    """
    if image.mode not in _DEEP:
        return None
    if image.mode.startswith("I;16"):
        return 65_535.0
    usual = (255.0, 65_535.0) if image.mode == "I" else (1.0, 255.0, 65_535.0)
    values = np.asarray(image)
    largest = float(values.max(initial=0, where=np.isfinite(values)))
    return next((level for level in usual if largest <= level), largest)


def _to_8_bit(strip: Image.Image, white_level: float) -> Image.Image:
    values = np.nan_to_num(np.asarray(strip).astype(np.float32), nan=0.0) * np.float32(255 / white_level)
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _opaque_to_rgb(strip: Image.Image, profile: tuple[str, ImageCms.ImageCmsTransform] | None) -> Image.Image:
    if not profile:
        return strip.convert("RGB")
    mode, transform = profile
    converted = ImageCms.applyTransform(strip.convert(mode), transform)
    return converted if converted else strip.convert("RGB")


def _profile(image: Image.Image) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode that strips must be converted to, and the transform from there to sRGB; None if no transform is needed.

    A profile that is damaged, or for another colour space than the picture's, is ignored, as in browsers.
    """
    embedded = image.info.get("icc_profile")
    srgb = ImageCms.createProfile("sRGB")
    try:
        if image.mode == "LAB" and not embedded:
            return "LAB", ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, "LAB", "RGB")
        if not embedded:
            return None
        source = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        mode, described = _ICC_SPACES[source.profile.xcolor_space.strip()]
        if image.mode not in described:
            return None
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
        return None
    return None if _changes_nothing(mode, transform) else (mode, transform)


def _changes_nothing(mode: str, transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a profile is sRGB under any name, which most cameras embed. Tested on a cube of colours."""
    if mode not in ("L", "RGB"):
        return False
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    sample = Image.fromarray(cube).convert(mode)
    converted = ImageCms.applyTransform(sample, transform)
    difference = np.asarray(converted).astype(int) - np.asarray(sample.convert("RGB"))
    return bool(np.abs(difference).max() <= 1)
