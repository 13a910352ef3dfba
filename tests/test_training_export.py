"""A trained network is written as the runtime reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the train or reference extra")
pytest.importorskip("torch", reason="needs the train or reference extra")

import torch

from lipstream.engines.portrait.gates import LOGITS
from lipstream.engines.portrait.motion import DEFAULT_WEIGHTS
from lipstream.engines.portrait.network import Network, normalised
from lipstream.engines.portrait.phones import BLOCK, PHONES
from training.dataset import TOLD
from training.export import export
from training.network import MotionNetwork


def test_the_runtime_computes_what_the_exported_network_does(tmp_path: Path) -> None:
    with np.load(DEFAULT_WEIGHTS) as shipped:
        basis, canonical = (shipped[f"basis.{name}"].astype(np.float64) for name in ("vectors", "canonical"))
        names = set(shipped.files)
    torch.manual_seed(0)
    trained = MotionNetwork(len(basis), len(TOLD), 32, cepstra=True).eval()
    export(trained, basis, np.linspace(1.0, 0.1, len(basis)), canonical, tmp_path / "motion.npz")
    with np.load(tmp_path / "motion.npz") as written:
        arrays = dict(written)
    assert set(arrays) == names
    network = Network(arrays, len(basis), len(PHONES))
    state = network.state()
    state.block = normalised(arrays["check.heard"][:BLOCK])
    answers = network.answers(arrays["check.heard"][BLOCK:], state)
    assert answers.shape[1] == len(basis) + len(LOGITS) + len(PHONES)
    np.testing.assert_allclose(answers, arrays["check.outputs"], atol=1e-5)
    with torch.no_grad():
        _, logits = trained(torch.tensor(arrays["check.heard"])[None])
    np.testing.assert_allclose(answers[:, len(basis) :], logits[0], atol=1e-5)
