"""Large tiles only where a trial with the weights themselves allows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.engines.wav2lip import tiles
from lipstream.engines.wav2lip.imported import ImportedModel, open_import, write_import
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.engines.wav2lip.tiles import MAX_ERROR, open_network, tile_error


@pytest.fixture
def model(small_weights: dict[str, NDArray[np.float32]], tmp_path: Path) -> ImportedModel:
    """An import of its own, without a record."""
    pytest.importorskip("onnx")
    write_import(small_weights, tmp_path, source="small.pth", sha256="0" * 64)
    model = open_import(tmp_path)
    assert model
    return model


def record(model: ImportedModel) -> Path:
    (path,) = model.folder.glob("tiles-mouth-*.json")
    return path


def test_small_tiles_are_exact(model: ImportedModel) -> None:
    assert tile_error(GeneratorNetwork(model, mouth_only=True, threads=1, precise=True)) < 1e-3


def test_the_trial_decides_and_is_remembered(model: ImportedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    error = tile_error(GeneratorNetwork(model, mouth_only=True, threads=1, precise=False))
    network = open_network(model, mouth_only=True, threads=1)
    assert network.precise == (error > MAX_ERROR)
    assert record(model).is_file()

    def never(_: GeneratorNetwork) -> float:
        raise AssertionError("it was tried again")

    monkeypatch.setattr(tiles, "tile_error", never)
    assert open_network(model, mouth_only=True, threads=1).precise == network.precise


@pytest.mark.parametrize(("limit", "precise"), [(-1.0, True), (1.0, False)])
def test_too_much_rounding_means_small_tiles(
    model: ImportedModel, monkeypatch: pytest.MonkeyPatch, limit: float, *, precise: bool
) -> None:
    monkeypatch.setattr(tiles, "MAX_ERROR", limit)
    first = open_network(model, mouth_only=True, threads=1)
    again = open_network(model, mouth_only=True, threads=1)
    assert (first.precise, again.precise) == (precise, precise)
    # Asked for, they are what they are asked to be.
    assert open_network(model, mouth_only=True, threads=1, precise=not precise).precise != precise


def test_a_damaged_record_is_made_again(model: ImportedModel) -> None:
    open_network(model, mouth_only=True, threads=1)
    record(model).write_text("{")
    open_network(model, mouth_only=True, threads=1)
    assert "error" in record(model).read_text()
