"""Pictures of every kind, good and bad, through :mod:`lipstream.media.image`."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from lipstream.errors import ImageError
from lipstream.media.image import decode_picture

LIMIT = 1_000_000


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """A picture without symmetry: every corner has its own colour, so turning or mirroring shows."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([40 + 180 * x, 60 + 150 * y, 200 - 120 * x * y], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def bgr(image: Image.Image) -> NDArray[np.int_]:
    return np.asarray(image.convert("RGB"))[..., ::-1].astype(int)


def decoded(data: bytes) -> NDArray[np.int_]:
    return decode_picture(data, max_pixels=LIMIT).astype(int)


def refused(data: bytes, max_pixels: int = LIMIT) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_picture(data, max_pixels=max_pixels)
    return caught.value


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: Pillow cannot save 16-bit colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "SGI", "PCX", "DDS", "QOI"])
def test_lossless_formats_keep_every_pixel(file_format: str) -> None:
    picture = decode_picture(saved(photo(), file_format), max_pixels=LIMIT)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    np.testing.assert_array_equal(picture, bgr(photo()))


@pytest.mark.parametrize(
    ("file_format", "tolerance"), [("JPEG", 3), ("WEBP", 3), ("AVIF", 3), ("GIF", 4), ("JPEG2000", 3)]
)
def test_lossy_formats_look_the_same(file_format: str, tolerance: float) -> None:
    difference = np.abs(decoded(saved(photo(), file_format)) - bgr(photo()))
    assert difference.mean() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    data = saved(photo(), file_format, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decoded(data), bgr(upright))
    assert decoded(data).shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))


@pytest.mark.parametrize("value", [0, 9, 60_000])
def test_senseless_orientation_counts_as_upright(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(decoded(saved(photo(), "PNG", exif=exif)), bgr(photo()))


def test_damaged_exif_is_not_the_pictures_fault() -> None:
    data = saved(photo(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert decoded(data).shape == (48, 64, 3)


@pytest.mark.parametrize(("width", "height"), [(33, 40), (40, 33), (33, 35), (999, 701)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_odd_sides_repeat_the_last_line(width: int, height: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo(width, height), "PNG", exif=exif)
    upright = bgr(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    rows, columns = upright.shape[:2]
    expected = np.pad(upright, ((0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
    np.testing.assert_array_equal(decoded(data), expected)


def test_a_large_picture_is_converted_in_strips_without_seams() -> None:
    image = photo(2_003, 1_501)
    picture = decode_picture(saved(image, "PNG", compress_level=1), max_pixels=4_000_000)
    np.testing.assert_array_equal(picture[:1_501, :2_003], bgr(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA"])
def test_modes(mode: str) -> None:
    source = photo().convert("L").convert("1") if mode == "1" else photo().convert(mode)
    file_format = "TIFF" if mode == "PA" else "PNG"
    np.testing.assert_array_equal(decoded(saved(source, file_format)), bgr(source))


def test_grey_of_16_bits() -> None:
    ramp = np.linspace(0, 65_535, 64 * 48).reshape(48, 64).astype(np.uint16)
    data = saved(Image.fromarray(ramp), "PNG")
    np.testing.assert_allclose(decoded(data), np.repeat(ramp[..., None] / 257, 3, axis=2), atol=1)


def test_colour_of_16_bits() -> None:
    rgb = (np.asarray(photo()).astype(np.uint16) * 257).astype(">u2")
    data = png(64, 48, 16, 2, b"".join(b"\0" + row.tobytes() for row in rgb))
    np.testing.assert_allclose(decoded(data), bgr(photo()), atol=1)


@pytest.mark.parametrize("white", [1.0, 255.0, 65_535.0])
def test_float_tiff_takes_the_usual_white(white: float) -> None:
    grey = np.linspace(0.0, white, 64 * 48).astype(np.float32).reshape(48, 64)
    grey[0, 0] = np.nan if white == 1.0 else 0.0
    expected = np.repeat(np.nan_to_num(grey)[..., None] * (255 / white), 3, axis=2)
    np.testing.assert_allclose(decoded(saved(Image.fromarray(grey), "TIFF")), expected, atol=1)


@pytest.mark.parametrize(("white", "dtype"), [(255, np.int32), (65_535, np.int32), (2**31 - 1, np.int32)])
def test_integer_tiff_takes_the_usual_white(white: int, dtype: type) -> None:
    grey: NDArray[Any] = np.linspace(0, white, 64 * 48).reshape(48, 64).astype(dtype)
    expected = np.repeat(grey[..., None] * (255 / white), 3, axis=2)
    np.testing.assert_allclose(decoded(saved(Image.fromarray(grey), "TIFF")), expected, atol=1)


def test_alpha_is_laid_on_white() -> None:
    image = photo().convert("RGBA")
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    image.putalpha(Image.fromarray(alpha))
    part = alpha[..., None] / 255
    expected = bgr(photo()) * part + 255 * (1 - part)
    for data in (saved(image, "PNG"), saved(image, "WEBP", lossless=True, exact=True)):
        np.testing.assert_allclose(decoded(data), expected, atol=1)


def test_palette_with_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (64, 48), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 32, 48))
    picture = decoded(saved(image, "PNG", transparency=0))
    assert picture[10, 10].tolist() == [255, 0, 0]
    assert picture[10, 50].tolist() == [255, 255, 255]
    assert decoded(saved(image, "GIF", transparency=0))[10, 50].tolist() == [255, 255, 255]


def test_grey_and_rgb_with_transparent_colour_are_laid_on_white() -> None:
    grey = Image.new("L", (64, 48), 7)
    assert (decoded(saved(grey, "PNG", transparency=7)) == 255).all()
    colour = Image.new("RGB", (64, 48), (7, 8, 9))
    assert (decoded(saved(colour, "PNG", transparency=(7, 8, 9))) == 255).all()


def test_cmyk_and_adobes_inverted_cmyk() -> None:
    image = photo().convert("CMYK")
    assert (
        np.abs(decoded(saved(image, "JPEG", quality=95)) - bgr(photo())).mean() < 4
    )  # Pillow writes Adobe's inversion
    np.testing.assert_array_equal(decoded(saved(image, "TIFF")), bgr(image))


def test_first_frame_of_an_animation() -> None:
    frames = [photo().convert("P", palette=Image.Palette.ADAPTIVE), Image.new("P", (64, 48))]
    for file_format in ("GIF", "WEBP", "PNG"):
        data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], duration=40)
        assert np.abs(decoded(data) - bgr(photo())).mean() < 5


class TestColourProfiles:
    def wide(self) -> bytes:
        """A profile whose numbers mean something else than in sRGB: red and blue are swapped by its primaries."""
        data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12)}
        red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
        data[red : red + 4], data[blue : blue + 4] = data[blue : blue + 4], data[red : red + 4]
        return bytes(data)

    def test_profile_is_applied(self) -> None:
        data = saved(photo(), "PNG", icc_profile=self.wide())
        swapped = bgr(photo())[..., ::-1]
        assert np.abs(decoded(data) - swapped).mean() <= 2

    def test_profile_is_applied_below_transparency(self) -> None:
        image = photo().convert("RGBA")
        image.putalpha(128)
        data = saved(image, "PNG", icc_profile=self.wide())
        expected = bgr(photo())[..., ::-1] * (128 / 255) + 255 * (127 / 255)
        assert np.abs(decoded(data) - expected).mean() <= 2

    def test_srgb_changes_nothing(self) -> None:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        np.testing.assert_array_equal(decoded(saved(photo(), "PNG", icc_profile=srgb)), bgr(photo()))

    @pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
    def test_damaged_or_foreign_profile_is_left_out(self, mode: str) -> None:
        image = photo().convert(mode)
        profile = self.wide()[:100] if mode == "RGB" else self.wide()
        np.testing.assert_array_equal(decoded(saved(image, "TIFF", icc_profile=profile)), bgr(image))

    def test_lab(self) -> None:
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(photo(), to_lab)
        assert image is not None
        assert np.abs(decoded(saved(image, "TIFF")) - bgr(photo())).mean() <= 3


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"hello, I am a text\n" * 20, bytes(5_000), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
     b"RIFF\x24\0\0\0WAVEfmt ", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"],
)  # fmt: skip
def test_not_an_image(data: bytes) -> None:
    error = refused(data)
    assert error.code == "not_an_image"
    assert "JPEG" in error.message


@pytest.mark.parametrize("brand", [b"heic", b"hevc", b"mif1", b"msf1"])
def test_heic_gets_its_own_advice(brand: bytes) -> None:
    """iPhones write heic first, other cameras and programs mif1."""
    error = refused(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100))
    assert error.code == "not_an_image"
    assert "HEIC" in error.message


def test_avif_under_a_general_brand_is_no_heic() -> None:
    data = saved(Image.new("RGB", (64, 64), "red"), "AVIF")
    assert data[8:12] == b"avif"
    picture = decode_picture(data[:8] + b"mif1" + data[12:], max_pixels=10_000)
    assert picture.shape == (64, 64, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_truncated(file_format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    data = saved(Image.fromarray(noise), file_format)
    assert refused(data[: int(len(data) * kept)]).code == "image_truncated"


def test_too_large_is_told_with_size_and_limit() -> None:
    error = refused(saved(photo(1_200, 900), "JPEG"))
    assert error.code == "image_too_large"
    for part in ("1200", "900", "1.1 million", "1 million"):
        assert part in error.message


@pytest.mark.parametrize("side", [9_600, 12_000, 30_000, 2**31 - 1])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    """9600² is where Pillow begins to warn, 13400² where it raises: both stay silent here, and nothing is decoded."""
    assert refused(png(side, side, 8, 2, b"")).code == "image_too_large"


@pytest.mark.parametrize("side", [5_000, 12_000, 30_000])
def test_bomb_in_an_icon(side: int) -> None:
    inner = png(side, side, 8, 2, b"")
    entry = struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(inner), 22)
    assert refused(struct.pack("<HHH", 0, 1, 1) + entry + inner).code == "image_too_large"


def test_icon() -> None:
    np.testing.assert_array_equal(decoded(saved(photo(64, 64), "ICO", sizes=[(64, 64)])), bgr(photo(64, 64)))


def test_a_side_longer_than_the_encoder_takes() -> None:
    error = refused(saved(Image.new("L", (20_000, 40)), "PNG"))
    assert error.code == "image_too_large"
    assert "16384" in error.message


@pytest.mark.parametrize("size", [(1, 1), (31, 400), (400, 31)])
def test_too_small(size: tuple[int, int]) -> None:
    assert refused(saved(Image.new("RGB", size), "PNG")).code == "image_too_small"


def test_exactly_the_limits() -> None:
    assert decoded(saved(Image.new("RGB", (1_000, 1_000)), "PNG")).shape == (1_000, 1_000, 3)
    assert decoded(saved(Image.new("RGB", (32, 32)), "PNG")).shape == (32, 32, 3)


SAMPLES = [saved(photo(), name) for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "ICO", "PPM")]


def decodes_or_refuses(data: bytes) -> None:
    try:
        picture = decode_picture(data, max_pixels=LIMIT)
    except ImageError:
        return
    height, width, channels = picture.shape
    assert (height % 2, width % 2, channels) == (0, 0, 3)


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    decodes_or_refuses(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    decodes_or_refuses(bytes(damaged[: cut if data.draw(st.booleans()) else None]))
