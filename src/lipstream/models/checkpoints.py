"""Optional public checkpoints: where they are published, under which terms, and which ones are present.

Their authors publish no hashes. Each hash below was recorded for the file by several independent projects; a file
without a recorded hash is never downloaded. Downloads go into the ``checkpoints/`` directory, where users would put
files of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipstream.errors import ModelError
from lipstream.models.assets import Asset, Url
from lipstream.models.digest import file_sha256
from lipstream.models.pytorch import load_file, state_dict
from lipstream.models.store import ModelStore, Progress

Kind = Literal["wav2lip", "segmentation", "upscaling", "detector"]
"""What a checkpoint is for."""

_WAV2LIP_TERMS = (
    "The Wav2Lip weights were trained on the LRS2 data set. Their authors (R. Prajwal et al., IIIT Hyderabad) allow "
    "research, academic and personal use only; any form of commercial use is prohibited."
)
_CELEBA_TERMS = (
    "The face-parsing weights were trained on CelebAMask-HQ, whose owners allow non-commercial research and "
    "education only. The code that they come with is under the MIT licence."
)


@dataclass(frozen=True)
class Checkpoint:
    """One published file."""

    name: str
    """Short name for commands, unique."""
    file_name: str
    """Name in ``checkpoints/``, unique."""
    kind: Kind
    """What it is for."""
    sha256: str | None
    """Of the content, 64 lower-case hexadecimal digits; None = no hash is known."""
    size: int | None
    """Bytes; None = unknown."""
    licence: str
    """SPDX identifier or words."""
    terms: str | None
    """What a user has to agree to before it is downloaded; None = nothing beyond the licence."""
    home: str
    """Where it was published."""
    urls: tuple[str, ...]
    """Where the file can be fetched, tried in this order; none = only from its home, by hand."""

    @property
    def asset(self) -> Asset | None:
        """What the model store fetches and verifies; None when it cannot be verified."""
        if self.sha256 is None or self.size is None or not self.urls:
            return None
        sources = tuple(Url(url) for url in self.urls)
        return Asset(
            self.name, self.file_name, self.sha256, self.size, self.licence, self.home, _PURPOSES[self.kind], sources
        )


@dataclass(frozen=True)
class Found:
    """A checkpoint file on this machine, or the place where one would be used."""

    kind: Kind
    """What it is for."""
    path: Path
    """The file, or where it is looked for."""
    state: Literal["present", "absent"]
    """Whether there is a file."""
    sha256: str | None
    """Of the file; None when absent or not asked for."""
    known: Checkpoint | None
    """The published file it is: by its hash, or by its name while it is absent."""

    @property
    def licence(self) -> str:
        """The licence of the file, as far as it is known."""
        return self.known.licence if self.known else "unknown: ask whoever made it"

    @property
    def source(self) -> str:
        """Where it comes from, as far as it is known."""
        return self.known.home if self.known else "your own file"

    @property
    def purpose(self) -> str:
        """What lipstream does with it."""
        return _PURPOSES[self.kind]


_PURPOSES: dict[Kind, str] = {
    "wav2lip": "the engine wav2lip",
    "segmentation": "wav2lip: replaces only skin, lips and inner mouth",
    "upscaling": "wav2lip: super-resolution of the mouth",
    "detector": 'wav2lip: face boxes with face_detector = "face-alignment"',
}

# A tensor that only this kind has.
_MARKS: dict[Kind, str] = {
    "wav2lip": "face_encoder_blocks.0.0.conv_block.0.weight",
    "segmentation": "cp.resnet.conv1.weight",
    "detector": "conv3_3_norm_mbox_conf.weight",
}

_WAV2LIP_HOME = "https://github.com/Rudrabha/Wav2Lip"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN"
_HUGGING_FACE = "https://huggingface.co"

CHECKPOINTS: tuple[Checkpoint, ...] = (
    Checkpoint(
        name="wav2lip-gan",
        file_name="wav2lip_gan.pth",
        kind="wav2lip",
        sha256="ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8",
        size=435_801_865,
        licence="non-commercial (LRS2)",
        terms=_WAV2LIP_TERMS,
        home=_WAV2LIP_HOME,
        urls=(
            f"{_HUGGING_FACE}/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip_gan.pth",
            f"{_HUGGING_FACE}/numz/wav2lip_studio/resolve/main/Wav2lip/wav2lip_gan.pth",
            "https://github.com/justinjohn0306/Wav2Lip/releases/download/models/wav2lip_gan.pth",
        ),
    ),
    Checkpoint(
        name="wav2lip",
        file_name="wav2lip.pth",
        kind="wav2lip",
        sha256="b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37",
        size=435_807_851,
        licence="non-commercial (LRS2)",
        terms=_WAV2LIP_TERMS,
        home=_WAV2LIP_HOME,
        urls=(
            "https://github.com/justinjohn0306/Wav2Lip/releases/download/models/wav2lip.pth",
            f"{_HUGGING_FACE}/rippertnt/wav2lip/resolve/main/checkpoints/wav2lip.pth",
        ),
    ),
    Checkpoint(
        name="face-parsing",
        file_name="79999_iter.pth",
        kind="segmentation",
        sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
        size=53_289_463,
        licence="MIT; trained on CelebAMask-HQ, non-commercial",
        terms=_CELEBA_TERMS,
        home="https://github.com/zllrunning/face-parsing.PyTorch",
        urls=(
            f"{_HUGGING_FACE}/ManyOtherFunctions/face-parse-bisent/resolve/main/79999_iter.pth",
            f"{_HUGGING_FACE}/vivym/face-parsing-bisenet/resolve/main/79999_iter.pth",
        ),
    ),
    Checkpoint(
        name="s3fd",
        file_name="s3fd-619a316812.pth",
        kind="detector",
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        size=89_843_225,
        licence="BSD-3-Clause",
        terms=None,
        home="https://github.com/1adrianb/face-alignment",
        urls=(
            "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
            f"{_HUGGING_FACE}/camenduru/Wav2Lip/resolve/main/checkpoints/s3fd-619a316812.pth",
        ),
    ),
    Checkpoint(
        name="realesr-general",
        file_name="realesr-general-x4v3.pth",
        kind="upscaling",
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        size=4_885_111,
        licence="BSD-3-Clause",
        terms=None,
        home=_REAL_ESRGAN,
        urls=(f"{_REAL_ESRGAN}/releases/download/v0.2.5.0/realesr-general-x4v3.pth",),
    ),
    Checkpoint(
        name="realesrgan-x4plus",
        file_name="RealESRGAN_x4plus.pth",
        kind="upscaling",
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        size=67_040_989,
        licence="BSD-3-Clause",
        terms=None,
        home=_REAL_ESRGAN,
        urls=(f"{_REAL_ESRGAN}/releases/download/v0.1.0/RealESRGAN_x4plus.pth",),
    ),
    Checkpoint(
        name="esrgan-yunying",
        file_name="esrgan_yunying.pth",
        kind="upscaling",
        sha256=None,
        size=None,
        licence="none stated",
        terms=None,
        home="https://github.com/Markfryazino/wav2lip-hq",
        urls=(),
    ),
)
"""All of them, in the order in which they are listed."""


def named(name: str, checkpoints: Iterable[Checkpoint] = CHECKPOINTS) -> Checkpoint:
    """The checkpoint of that short name or file name. Raises :class:`ModelError` (``model_missing``)."""
    checkpoints = tuple(checkpoints)
    for checkpoint in checkpoints:
        if name in (checkpoint.name, checkpoint.file_name):
            return checkpoint
    names = ", ".join(checkpoint.name for checkpoint in checkpoints)
    raise ModelError("model_missing", f'There is no published checkpoint "{name}" that lipstream knows. Use: {names}.')


def fetch(
    checkpoint: Checkpoint, folder: Path, *, accept_terms: bool = False, on_progress: Progress | None = None
) -> Path:
    """The checkpoint's verified file in ``folder``, fetched if it is not there, resuming what was begun.

    Raises :class:`ValueError` when it has terms and they were not accepted, and :class:`ModelError`:
    ``model_download_failed`` (with every source's reason, or because nobody knows what the file must be),
    ``model_damaged`` (another file of its name is in the way; it stays).
    """
    asset = checkpoint.asset
    if asset is None:
        raise ModelError(
            "model_download_failed",
            f'"{checkpoint.name}" cannot be fetched, because there is no published hash to verify '
            f"{checkpoint.file_name} with. Get it from {checkpoint.home} and put it into {folder}.",
        )
    if checkpoint.terms is not None and not accept_terms:
        raise ValueError(f"{checkpoint.name} has terms, which its user must accept first")
    store = ModelStore(cache=folder, assets=())
    if store.status(asset).state == "damaged":
        raise ModelError(
            "model_damaged",
            f"{folder / asset.file_name} is not the published {checkpoint.name}. "
            "To fetch that one, move this file away first; if you keep it, lipstream uses it.",
        )
    return store.fetch(asset, on_progress)


def find_s3fd(folder: Path) -> Path | None:
    """The first ``s3fd*.pth`` in a directory, by name."""
    return next(iter(sorted(folder.glob("s3fd*.pth"))), None)


def inspect(kind: Kind, path: Path, *, with_hash: bool = True) -> Found:
    """What is at the place where lipstream looks for a checkpoint of this kind. Reads the whole file for its hash."""
    if not path.is_file():
        expected = [checkpoint for checkpoint in CHECKPOINTS if checkpoint.file_name == path.name]
        return Found(kind, path, "absent", None, next(iter(expected), None))
    if not with_hash:
        return Found(kind, path, "present", None, None)
    sha256 = file_sha256(path)
    return Found(kind, path, "present", sha256, _recognised(sha256, path.name))


def _recognised(sha256: str, file_name: str) -> Checkpoint | None:
    for checkpoint in CHECKPOINTS:
        # Where no hash is known, the name has to do.
        if checkpoint.sha256 == sha256 or (checkpoint.sha256 is None and checkpoint.file_name == file_name):
            return checkpoint
    return None


def kind_of(path: Path) -> Kind:
    """What a checkpoint file is for, judged by its tensors; a file of none of the other kinds counts as
    super-resolution.

    Raises :class:`ImportError` without PyTorch and :class:`ModelError`: ``model_missing``, ``model_damaged``.
    """
    if path.suffix == ".onnx":
        return "wav2lip"
    names = state_dict(load_file(path))
    for kind, mark in _MARKS.items():
        if mark in names:
            return kind
    return "upscaling"
