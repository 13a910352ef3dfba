"""Make the README's picture: the bundled portrait, then saying the bundled sentence. ``python docs/images/make.py``"""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lipstream.config import Settings
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.studio import Job, Studio

HERE = Path(__file__).parent
SPEECH = HERE.parent.parent / "src" / "lipstream" / "assets" / "sample.wav"
HEAD = (120, 8, 332, 220)
MOMENTS = (8, 13, 20, 34, 44, 70, 107)


def main() -> None:
    """Write ``talking.jpg`` beside this file."""
    settings = Settings()
    portrait = ModelStore(settings.cache_dir).path(SAMPLE_PORTRAIT)
    job = Job(image=portrait.read_bytes(), audio=SPEECH.read_bytes())
    with av.open(io.BytesIO(Studio.open(settings).render(job))) as file:
        frames = [frame.to_image() for frame in file.decode(video=0)]
    pictures = [Image.open(portrait).convert("RGB"), *(frames[moment] for moment in MOMENTS)]
    heads = [np.asarray(picture.crop(HEAD)) for picture in pictures]
    rows = [np.hstack(heads[start : start + 4]) for start in (0, 4)]
    Image.fromarray(np.vstack(rows)).save(HERE / "talking.jpg", quality=88)


if __name__ == "__main__":
    main()
