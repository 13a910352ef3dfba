"""Which of the optional models are present where the settings look for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipstream.config import Settings
from lipstream.engines.wav2lip.imported import find_checkpoint
from lipstream.models.checkpoints import Found, Kind, find_s3fd, inspect

_NAMES: dict[Kind, str] = {
    "wav2lip": "wav2lip",
    "segmentation": "segmentation",
    "upscaling": "super-resolution",
    "detector": "face-alignment",
}
"""What each kind of model is called in the list of problems."""


@dataclass(frozen=True)
class Absent:
    """An optional model that is not there."""

    name: str
    """As in the list of problems."""
    path: str
    """Where it is looked for."""
    brings: str
    """What it would be used for."""


def find_checkpoints(settings: Settings, *, with_hash: bool = True) -> list[Found]:
    """The checkpoint of each kind, or the place where it is looked for. Hashing reads the whole files."""
    detector = find_s3fd(settings.checkpoints_dir) or settings.checkpoints_dir / "s3fd-619a316812.pth"
    places: dict[Kind, Path] = {
        "wav2lip": find_checkpoint(settings.wav2lip_path) or settings.wav2lip_path,
        "segmentation": settings.segmentation_path,
        "upscaling": settings.sr_path,
        "detector": detector,
    }
    return [inspect(kind, path, with_hash=with_hash) for kind, path in places.items()]


def absent_models(settings: Settings) -> list[Absent]:
    """The optional models that are not there."""
    found = find_checkpoints(settings, with_hash=False)
    return [Absent(_NAMES[one.kind], str(one.path), one.purpose) for one in found if one.state == "absent"]
