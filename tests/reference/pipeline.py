"""The original's inference for one still portrait, step by step, with its habits and its traps.

Slow on purpose: librosa's mel of the whole recording, the full network (face encoder included) for every frame, an
intermediate AVI written by OpenCV, then a second encode together with the audio.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from tests.reference.network import Wav2Lip

Box = tuple[int, int, int, int]
"""top, bottom, left, right, pixels."""


def mel_spectrogram(speech: NDArray[np.float32]) -> NDArray[np.float64]:
    """(80, columns) in [-4, 4] of a whole recording at 16 kHz."""
    emphasised = speech.astype(np.float64)
    emphasised[1:] = emphasised[1:] - 0.97 * speech[:-1].astype(np.float64)
    spectrum = np.abs(librosa.stft(y=emphasised, n_fft=800, hop_length=200, win_length=800))
    filters = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, filters @ spectrum)) - 20
    return np.asarray(np.clip(8 * (decibels + 100) / 100 - 4, -4, 4), np.float64)


def mel_windows(mel: NDArray[np.float64], fps: float) -> list[NDArray[np.float64]]:
    """The original's windows: they stop where the mel does, and the last one is the recording's last 16 columns.

    So one second gives 22 windows at 25 fps, and a mel of under 16 columns gives one of the wrong shape.
    """
    windows: list[NDArray[np.float64]] = []
    while True:
        start = int(len(windows) * 80.0 / fps)
        if start + 16 > mel.shape[1]:
            windows.append(mel[:, mel.shape[1] - 16 :])
            return windows
        windows.append(mel[:, start : start + 16])


def network_inputs(
    photo: NDArray[np.uint8], box: Box, windows: list[NDArray[np.float64]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch for these windows: mel (B, 1, 80, 16) and the same face (B, 6, 96, 96) in every place."""
    top, bottom, left, right = box
    face = cv2.resize(photo[top:bottom, left:right], (96, 96))
    faces = np.stack([face] * len(windows))
    masked = faces.copy()
    masked[:, 48:] = 0
    both = np.concatenate([masked, faces], axis=3) / 255.0
    mels = np.stack(windows)[:, np.newaxis]
    return torch.FloatTensor(mels), torch.FloatTensor(both.transpose(0, 3, 1, 2))


def frames(
    network: Wav2Lip, photo: NDArray[np.uint8], box: Box, speech: NDArray[np.float32], fps: float, batch: int = 128
) -> Iterator[NDArray[np.uint8]]:
    """The pictures the original makes, before any encoding."""
    windows = mel_windows(mel_spectrogram(speech), fps)
    top, bottom, left, right = box
    for start in range(0, len(windows), batch):
        mels, faces = network_inputs(photo, box, windows[start : start + batch])
        with torch.no_grad():
            pictures = network(mels, faces).numpy().transpose(0, 2, 3, 1) * 255.0
        for picture in pictures:
            frame = photo.copy()
            frame[top:bottom, left:right] = cv2.resize(picture.astype(np.uint8), (right - left, bottom - top))
            yield frame


def render(
    network: Wav2Lip, photo: NDArray[np.uint8], box: Box, speech: NDArray[np.float32], fps: float, folder: Path
) -> Path:
    """A whole job as the original does it: frames to an AVI, the AVI and the audio to an MP4."""
    avi, mp4 = folder / "result.avi", folder / "result.mp4"
    height, width = photo.shape[:2]
    writer = cv2.VideoWriter(str(avi), cv2.VideoWriter.fourcc(*"DIVX"), fps, (width, height))
    for frame in frames(network, photo, box, speech, fps):
        writer.write(frame)
    writer.release()
    _encode_again(avi, speech, fps, mp4)
    return mp4


def _encode_again(avi: Path, speech: NDArray[np.float32], fps: float, mp4: Path) -> None:
    with av.open(str(avi)) as source, av.open(str(mp4), "w") as target:
        picture = source.streams.video[0]
        video: Any = target.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
        audio: Any = target.add_stream("aac", rate=16000, layout="mono")
        for index, frame in enumerate(source.decode(picture)):
            frame.pts, frame.time_base = index, 1 / Fraction(fps).limit_denominator(1001)
            target.mux(video.encode(frame))
        target.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(speech[np.newaxis], format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 16000, 0
        fifo = av.AudioFifo()
        fifo.write(samples)
        while (block := fifo.read(1024, partial=True)) is not None:
            target.mux(audio.encode(block))
        target.mux(audio.encode())
