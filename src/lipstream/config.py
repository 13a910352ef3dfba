"""Settings: from the environment, else from ``.env`` in the working directory, else the defaults below.

The four documented names (``wav2lip_path``, ``segmentation_path``, ``sr_path``, ``device``) have no prefix. All others
begin with ``LIPSTREAM_``, because other programs also use names such as ``PORT`` or ``WORKERS``. Upper and lower case
do not matter. Unknown names are ignored, because ``.env`` is often shared with other programs. ``docs/settings.md`` has
a table of all settings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "LIPSTREAM_"
"""Prefix of our own settings in the environment."""

MIB = 2**20

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
"""x264's presets, fastest first."""


def available_cores() -> int:
    """The number of CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Everything that can be configured. Raises :class:`pydantic.ValidationError` if a value is invalid."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    wav2lip_path: Path = Field(
        default=Path("checkpoints/wav2lip_gan.pth"),
        validation_alias="wav2lip_path",
        description="Wav2Lip checkpoint; the engine `wav2lip` is available if this file exists.",
    )
    segmentation_path: Path = Field(
        default=Path("checkpoints/79999_iter.pth"),
        validation_alias="segmentation_path",
        description="BiSeNet face-parsing checkpoint, for the engine `wav2lip`.",
    )
    sr_path: Path = Field(
        default=Path("checkpoints/esrgan_yunying.pth"),
        validation_alias="sr_path",
        description="Super-resolution (ESRGAN, BasicSR) checkpoint, for the engine `wav2lip`.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        validation_alias="device",
        description="Where `wav2lip` runs: `cpu`, or `cuda` for an NVIDIA GPU (`CUDA_VISIBLE_DEVICES` picks one).",
    )

    face_detector: Literal["mesh", "face-alignment"] = Field(
        default="mesh",
        description="Where the engine `wav2lip` gets its face box from; `face-alignment` is the original's S3FD.",
    )

    host: str = Field(default="127.0.0.1", description="Address that `lipstream serve` listens on; `0.0.0.0` for all.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port that `lipstream serve` listens on; 0 picks a free one."
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="How much the server logs."
    )
    workers: int = Field(
        default_factory=available_cores, ge=1, le=256, description="Jobs that run at the same time, one thread each."
    )
    queue_size: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="Jobs that may wait for a worker; one more is answered with `server_busy`.",
    )
    max_connections: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="WebSockets and HTTP requests open at the same time; one more is answered with `server_busy`.",
    )
    connection_queue: int = Field(
        default=16, ge=0, le=10_000, description="Messages that may wait on one WebSocket while its job runs."
    )

    connection_idle_seconds: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="A `/ws/lipsync` connection without requests is closed after this time, seconds.",
    )

    max_message_bytes: int = Field(
        default=160 * MIB,
        ge=1024,
        description="Largest WebSocket message or upload, bytes; the default fits ten minutes of CD-quality WAV.",
    )
    max_image_bytes: int = Field(default=32 * MIB, ge=1024, description="Largest picture file, bytes.")
    max_image_pixels: int = Field(default=50_000_000, ge=1024, description="Largest picture, width × height.")
    max_video_bytes: int = Field(default=64 * MIB, ge=1024, description="Largest video file for an avatar, bytes.")
    max_video_pixels: int = Field(
        default=1920 * 1088, ge=1024, description="Largest frame of an avatar's video, width × height."
    )
    max_video_seconds: float = Field(
        default=20.0, gt=0, le=600, description="Longest video for an avatar, seconds; it is played back and forth."
    )
    max_video_memory_mb: int = Field(
        default=512, ge=1, le=1_000_000, description="Most memory that the frames of one avatar's video may take, MB."
    )
    max_audio_seconds: float = Field(default=600.0, gt=0, le=86_400, description="Longest recording, seconds.")

    avatar_cache_mb: int = Field(
        default=192,
        ge=0,
        le=1_000_000,
        description="Memory for prepared portraits and clips, MB; the least recently used are dropped first.",
    )
    cache_dir: Path | None = Field(
        default=None, description="Where downloaded models are kept; unset means the platform's cache directory."
    )
    checkpoints_dir: Path = Field(
        default=Path("checkpoints"), description="Directory of your own model files, searched first."
    )

    live_sessions: int = Field(
        default=8, ge=0, le=1000, description="Live streams at the same time; one more is answered with `server_busy`."
    )
    live_workers: int = Field(
        default_factory=available_cores,
        ge=1,
        le=256,
        description="Threads that draw and encode all live streams; as many more prepare new ones.",
    )
    live_lead_ms: int = Field(
        default=120,
        ge=0,
        le=2000,
        description="How far live media runs ahead of real time, ms; two thirds of it may be spent on late speech.",
    )
    live_buffer_seconds: int = Field(
        default=120, ge=5, le=3600, description="How much speech a live stream holds before it stops reading, seconds."
    )
    live_idle_seconds: float = Field(
        default=300.0,
        gt=0,
        allow_inf_nan=False,
        description="A live stream whose client is silent ends after this time, seconds.",
    )
    live_session_seconds: float = Field(
        default=3600.0, gt=0, allow_inf_nan=False, description="Longest live stream, seconds."
    )
    live_max_pixels: int = Field(
        default=1920 * 1088,
        ge=1024,
        description="Larger pictures are reduced to this for live streams, width × height.",
    )
    avatar_dir: Path | None = Field(
        default=None, description="Where uploaded avatars are kept; unset means a folder in the cache directory."
    )
    avatar_store_mb: int = Field(
        default=512,
        ge=0,
        le=1_000_000,
        description="Disk space for uploaded avatars, MB; the least recently used are deleted first.",
    )

    crf: int = Field(
        default=20, ge=0, le=51, description="x264's constant rate factor: lower looks better and is larger."
    )
    preset: Preset = Field(default="veryfast", description="x264's preset: slower makes smaller files.")

    @field_validator("cache_dir", "checkpoints_dir", "avatar_dir")
    @classmethod
    def _folder(cls, path: Path | None) -> Path | None:
        """A folder may be missing, but a file in its place would make every request fail."""
        if path is not None and path.exists() and not path.is_dir():
            raise PydanticCustomError("not-a-folder", "{path} is a file; it must be a folder", {"path": str(path)})
        return path
