"""Make ``docs/gallery.md`` with its contact sheets, and the README's clip: ``python -m docs.gallery.make``.

The pictures are in the public domain and come out of packages on the Python index. With ``--portraits DIR --out DIR``
sheets of your own pictures are made instead, in a folder of your own. About a minute.
"""

from __future__ import annotations

import argparse
import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.quality.portraits import close_up, load_portraits
from benchmarks.quality.sheets import head_box, sheet_of, webp
from benchmarks.quality.sounds import Sound, sample_speech
from benchmarks.quality.video import Pixels, shown
from lipstream.avatar import Avatar, picture_digest
from lipstream.config import Settings
from lipstream.engines.base import SPEECH_RATE, Engine
from lipstream.face.finder import FaceFinder
from lipstream.idle import IdleMotion
from lipstream.models.assets import ASSETS, SAMPLE_PORTRAIT, Asset, IndexPackage
from lipstream.models.store import ModelStore
from lipstream.session import Session
from lipstream.studio import Studio
from lipstream.threads import one_thread_per_library

HERE = Path(__file__).parent
PAGE = HERE.parent / "gallery.md"
CLIP = HERE.parent / "images" / "talking.webp"
REMARKS = "## What still looks wrong"
"""From this line on the page is written by hand and kept."""

INTRODUCTION = """\
These contact sheets are made by `python -m docs.gallery.make` with the built-in engine;
`python -m docs.gallery.make --portraits DIR --out DIR` makes the same of your own pictures. Each pair of rows shows the
head, and below it the mouth in close-up: first the photo, then the mouth at rest, closed for M, open for AA, EE and OO,
with the teeth on the lower lip for F, with the tongue up for L and between the teeth for TH, and then moments of the
bundled sentence. All pictures are in the public domain."""

HOPPER = Asset(
    name="grace-hopper",
    file_name="grace_hopper.jpg",
    sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    size=61_306,
    licence="public domain (US Navy)",
    home="https://github.com/matplotlib/matplotlib",
    purpose="a portrait of the gallery: Grace Hopper, 512 × 600",
    sources=(IndexPackage("matplotlib", "3.10.8", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),),
)

CLIP_FPS = Fraction(25)
CLIP_SIDE, CLIP_QUALITY = 280, 50
"""Of each head, pixels; of the WebP."""


@dataclass(frozen=True)
class Portrait:
    """One entry of the gallery."""

    name: str
    """Of its file, without the suffix."""
    title: str
    about: str
    """What is hard about it."""
    source: Asset
    change: Callable[[Pixels, FaceFinder], Avatar]
    """Makes the picture that speaks out of the original."""


def as_it_is(picture: Pixels, finder: FaceFinder) -> Avatar:
    """The original, cut to even sides."""
    height, width = picture.shape[:2]
    even = np.ascontiguousarray(picture[: height & ~1, : width & ~1])
    return Avatar(even, finder.largest(even), picture_digest(even))


def grey(picture: Pixels, finder: FaceFinder) -> Avatar:
    """Without colour."""
    return as_it_is(np.asarray(cv2.merge([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)] * 3), np.uint8), finder)


def dim(picture: Pixels, finder: FaceFinder) -> Avatar:
    """As a camera sees it in the evening: an eighth of the light, warm, with grain."""
    linear = (picture / 255.0) ** 2.2 * np.array([0.07, 0.11, 0.16])
    grain = np.random.default_rng(0).normal(0, 2.5, picture.shape)
    return as_it_is(np.clip(255 * linear ** (1 / 2.2) + grain, 0, 255).astype(np.uint8), finder)


def small(picture: Pixels, finder: FaceFinder) -> Avatar:
    """At 40 % of its size."""
    return as_it_is(np.asarray(cv2.resize(picture, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)), finder)


PORTRAITS = (
    Portrait(
        "collins",
        "Eileen Collins",
        "NASA. 40 pixels between the eyes, a wide smile with teeth.",
        SAMPLE_PORTRAIT,
        as_it_is,
    ),
    Portrait(
        "collins-enlarged",
        "The same, enlarged three times",
        "118 pixels between the eyes, but no more detail than before: teeth must be as soft as the skin.",
        SAMPLE_PORTRAIT,
        close_up,
    ),
    Portrait("hopper", "Grace Hopper", "US Navy. 79 pixels, lips closed, glasses, wrinkles, grain.", HOPPER, as_it_is),
    Portrait("hopper-grey", "The same without colour", "Teeth and tongue must be grey, too.", HOPPER, grey),
    Portrait("hopper-dim", "The same in low light", "An eighth of the light, with grain.", HOPPER, dim),
    Portrait("hopper-small", "The same, small", "31 pixels between the eyes.", HOPPER, small),
)


def original(store: ModelStore, source: Asset) -> Pixels:
    """A picture out of the store, fetched if need be, (height, width, 3) BGR."""
    picture = cv2.imread(str(store.fetch(source)))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def clip(engine: Engine, avatars: list[Avatar], speech: Sound) -> bytes:
    """Living heads side by side, saying ``speech``: an animated WebP."""
    rows = []
    for number, avatar in enumerate(avatars):
        life = partial(next, map(IdleMotion(number, CLIP_FPS).at, itertools.count()))
        session = Session(engine.prepare(avatar), sample_rate=SPEECH_RATE, fps=CLIP_FPS, life=life)
        box = head_box(avatar)
        heads = [shown(avatar.picture, frame.patch)[box] for frame in (*session.push(speech), *session.flush())]
        rows.append([cv2.resize(head, (CLIP_SIDE, CLIP_SIDE), interpolation=cv2.INTER_AREA) for head in heads])
    frames = [Image.fromarray(np.hstack(heads)[:, :, ::-1].copy()) for heads in zip(*rows, strict=True)]
    file = io.BytesIO()
    frames[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / CLIP_FPS),
        loop=0,
        quality=CLIP_QUALITY,
        method=4,
    )
    return file.getvalue()


def page(remarks: str) -> str:
    """The whole of ``gallery.md``."""
    entries = [f"## {one.title}\n\n{one.about}\n\n![Contact sheet]({HERE.name}/{one.name}.webp)" for one in PORTRAITS]
    return "\n\n".join(["# Gallery", INTRODUCTION, *entries, remarks]) + "\n"


def kept_remarks() -> str:
    """What was written by hand on the page there is."""
    written = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    return REMARKS + written.partition(REMARKS)[2].rstrip()


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, help="folder with pictures of your own")
    parser.add_argument("--out", type=Path, help="folder for their sheets")
    options = parser.parse_args()
    if (options.portraits is None) != (options.out is None):
        parser.error("--portraits and --out belong together")
    one_thread_per_library()
    settings = Settings()
    store = ModelStore(settings.cache_dir, settings.checkpoints_dir, (*ASSETS, HOPPER))
    studio, finder, speech = Studio.open(settings), FaceFinder.load(store), sample_speech()
    engine = studio.engine("portrait")
    if options.portraits is not None:
        avatars, refused = load_portraits(studio, options.portraits)
        options.out.mkdir(parents=True, exist_ok=True)
        for name, code in refused.items():
            print(f"{name}: {code}")
    else:
        avatars = {one.name: one.change(original(store, one.source), finder) for one in PORTRAITS}
        CLIP.write_bytes(clip(engine, [avatars["collins-enlarged"], avatars["hopper"]], speech))
        PAGE.write_text(page(kept_remarks()), encoding="utf-8")
    for name, avatar in avatars.items():
        sheet = webp(sheet_of(engine.prepare(avatar), speech))
        ((options.out or HERE) / f"{name}.webp").write_bytes(sheet)


if __name__ == "__main__":
    main()
