"""The quality benchmark on an engine that does not tell how it moves the mouth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.pictures import Watcher, measure_pictures
from benchmarks.quality.sheets import sheet_of
from benchmarks.quality.video import MouthReader
from lipstream.avatar import Avatar
from lipstream.engines.wav2lip.engine import Wav2LipEngine
from lipstream.models.store import ModelStore


def test_what_the_mesh_sees_is_all_there_is(
    small_engine: Wav2LipEngine, head: Avatar, store: ModelStore, sample_speech: NDArray[np.float32]
) -> None:
    speech = sample_speech[6_000:14_000]
    watcher = Watcher(small_engine.prepare(head), MouthReader.load(store, head.face), seconds=0.4)
    figures = measure_pictures(watcher, speech)
    assert figures.command_r is figures.command_gain is figures.shut_seen is None
    assert figures.sharpness > 0
    assert figures.identity_psnr_db > 30
    assert watcher.displacements(speech, 14).shape == (14, 183)
    assert sheet_of(watcher.actor, speech).shape == (2 * 220, 6 * 220, 3)
