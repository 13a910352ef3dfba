"""The gallery: its page belongs to its script and to its pictures, which are small."""

from __future__ import annotations

import re

from PIL import Image

from docs.gallery import make

MOST_BYTES, MOST_BYTES_IN_ALL, MOST_BYTES_OF_CLIP = 250_000, 1_500_000, 900_000


def test_page_is_what_the_script_writes() -> None:
    written = make.PAGE.read_text(encoding="utf-8")
    assert written == make.page(make.kept_remarks())
    assert len(make.kept_remarks()) > 500, "say what still looks wrong"


def test_every_picture_is_there_and_small() -> None:
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", make.PAGE.read_text(encoding="utf-8"))
    files = [make.PAGE.parent / link for link in links]
    assert sorted(files) == sorted(make.HERE.glob("*.webp"))
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) < MOST_BYTES
    assert sum(sizes) < MOST_BYTES_IN_ALL


def test_clip_moves_and_is_small() -> None:
    with Image.open(make.CLIP) as clip:
        assert getattr(clip, "n_frames", 1) > 100
    assert make.CLIP.stat().st_size < MOST_BYTES_OF_CLIP
