"""Write a trained network as the ``motion.npz`` that the server reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import N_HEARD
from training.network import MotionNetwork
from training.prepare import POINTS, Array, opening_map, width_map

_CHECK_HOPS = 80


def export(network: MotionNetwork, basis: Array, spread: Array, canonical: Array, path: Path) -> None:
    """Save a network that hears cepstra too.

    ``basis`` is (K, 61, 3), ``spread`` (K,) what the network's coefficients are multiplied with, ``canonical``
    (478, 3).
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "basis.points": np.array(POINTS, np.int16),
        "basis.vectors": basis.astype(np.float32),
        "basis.canonical": canonical.astype(np.float32),
        "closing": closing_of(basis, spread),
        "spreading": spreading_of(basis, spread),
        **_arrays(network, spread),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Any] = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
    np.savez_compressed(path, **stored)


def _arrays(network: MotionNetwork, spread: Array) -> dict[str, NDArray[np.generic]]:
    """Weights transposed to (inputs, outputs), the last layer scaled to inter-ocular distances."""
    state = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    scale = np.concatenate([spread, np.ones(len(state["output.bias"]) - len(spread))])
    arrays: dict[str, NDArray[np.generic]] = {
        **_check(network, scale),
        "dilations": np.array([block.reach // 2 for block in network.blocks], np.int16),
        "input.weight": _taps(state["input.weight"]),
        "input.bias": state["input.bias"],
        "norm.weight": state["norm.weight"],
        "norm.bias": state["norm.bias"],
        "gru.input.weight": state["gru.weight_ih_l0"].T,
        "gru.input.bias": state["gru.bias_ih_l0"],
        "gru.hidden.weight": state["gru.weight_hh_l0"].T,
        "gru.hidden.bias": state["gru.bias_hh_l0"],
        "output.weight": state["output.weight"].T * scale,
        "output.bias": state["output.bias"] * scale,
    }
    for i in range(len(network.blocks)):
        arrays[f"blocks.{i}.weight"] = _taps(state[f"blocks.{i}.convolution.weight"])
        arrays[f"blocks.{i}.bias"] = state[f"blocks.{i}.convolution.bias"]
        arrays[f"blocks.{i}.norm.weight"] = state[f"blocks.{i}.norm.weight"]
        arrays[f"blocks.{i}.norm.bias"] = state[f"blocks.{i}.norm.bias"]
    return arrays


def _check(network: MotionNetwork, scale: Array) -> dict[str, NDArray[np.generic]]:
    """An input and what PyTorch makes of it: a test holds the NumPy network against it."""
    heard = np.random.default_rng(0).uniform(-10.0, 0.0, (_CHECK_HOPS, N_HEARD)).astype(np.float32)
    with torch.no_grad():
        motion, logits = network(torch.tensor(heard)[None])
    return {"check.heard": heard, "check.outputs": torch.cat([motion, logits], 2)[0].numpy() * scale}


def _taps(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs, inputs, taps) → (taps × inputs, outputs), the oldest tap first."""
    oldest_first: NDArray[np.float32] = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
    return oldest_first


def opening_of(basis: Array) -> Array:
    """(K,) how much each coefficient opens the mouth."""
    return np.asarray(basis.reshape(len(basis), -1) @ opening_map())


def closing_of(basis: Array, spread: Array) -> Array:
    """(K,) the change of the coefficients that most likely goes with a gap one inter-ocular distance smaller."""
    opens = opening_of(basis)
    along = spread**2 * opens
    return np.asarray(-along / (along @ opens))


def spreading_of(basis: Array, spread: Array) -> Array:
    """(K,) the change of the coefficients that most likely goes with a mouth one inter-ocular distance wider, the gap
    staying as it is."""
    wider = np.asarray(basis.reshape(len(basis), -1) @ width_map())
    measured = np.stack([wider, opening_of(basis)])
    along = spread**2 * measured
    return np.asarray(along.T @ np.linalg.solve(along @ measured.T, [1.0, 0.0]))
