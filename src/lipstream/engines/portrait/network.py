"""The motion network in plain NumPy, one step of 20 ms at a time. ``training/network.py`` is the same in PyTorch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import BLOCK, N_STATES

Array = NDArray[np.float32]

CEPSTRA_SPREAD = np.array([14.0, 4.0, 4.0, 5.0, 3.5, 3.5, 3.5, 3.0, 3.0, 3.0, 2.5, 2.5, 2.5], np.float32)
"""What the cepstra are divided by: about their standard deviations in speech."""

_POSTERIOR_FLOOR = np.float32(-6.0)
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_GELU_1 = np.float32(np.sqrt(2.0 / np.pi))
_GELU_3 = np.float32(np.sqrt(2.0 / np.pi) * 0.044715)


@dataclass
class State:
    """What the network remembers between two steps."""

    block: Array
    """(2, inputs) what was heard in the block before, normalised."""
    pasts: list[deque[Array]]
    """Per convolution, its inputs (channels,) of as many steps as it reaches back."""
    hidden: Array
    """(channels,) of the recurrent unit."""

    def copy(self) -> State:
        # The arrays themselves are never written to.
        return State(self.block, [past.copy() for past in self.pasts], self.hidden)


class Network:
    """``training.network.MotionNetwork`` one step at a time. Immutable."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """``arrays`` as ``training.export`` names them. Raises KeyError or ValueError if they do not fit together."""

        def weight(name: str) -> Array:
            return np.ascontiguousarray(arrays[name], np.float32)

        self._input = _Layer(weight("input.weight"), weight("input.bias"))
        self._inputs = len(self._input.weight) // (2 * BLOCK)
        self._input_norm = weight("norm.weight"), weight("norm.bias")
        self._dilations = [int(d) for d in arrays["dilations"]]
        self._blocks = [
            (
                _Layer(weight(f"blocks.{i}.weight"), weight(f"blocks.{i}.bias")),
                (weight(f"blocks.{i}.norm.weight"), weight(f"blocks.{i}.norm.bias")),
            )
            for i in range(len(self._dilations))
        ]
        self._gru_input = _Layer(weight("gru.input.weight"), weight("gru.input.bias"))
        self._gru_hidden = _Layer(weight("gru.hidden.weight"), weight("gru.hidden.bias"))
        self._output = _Layer(weight("output.weight"), weight("output.bias"))
        self._channels = len(self._input.bias)
        self.outputs = len(self._output.bias)

    def state(self) -> State:
        """Nothing heard yet."""
        nothing = np.zeros(self._channels, np.float32)
        pasts = [deque([nothing] * (2 * d + 1), maxlen=2 * d + 1) for d in self._dilations]
        return State(np.zeros((BLOCK, self._inputs), np.float32), pasts, nothing)

    def step(self, heard: Array, state: State) -> Array:
        """The next (2, 139) of a :class:`PhoneStream` → (outputs,) coefficients and articulation logits.

        ``state`` moves on.
        """
        block = normalised(heard)[:, : self._inputs]
        x = np.concatenate([state.block.ravel(), block.ravel()])
        state.block = block
        h = _gelu(_layer_norm(self._input(x), *self._input_norm))
        for dilation, past, (convolution, norm) in zip(self._dilations, state.pasts, self._blocks, strict=True):
            past.append(h)
            taps = np.concatenate([past[0], past[dilation], past[2 * dilation]])
            h = h + _gelu(_layer_norm(convolution(taps), *norm))
        state.hidden = self._recur(h, state.hidden)
        return self._output(h + state.hidden)

    def _recur(self, x: Array, hidden: Array) -> Array:
        """Gated recurrent unit as PyTorch defines it: (channels,), (channels,) → (channels,)."""
        c = self._channels
        a, b = self._gru_input(x), self._gru_hidden(hidden)
        gates = sigmoid(a[: 2 * c] + b[: 2 * c])
        new = np.tanh(a[2 * c :] + gates[:c] * b[2 * c :])
        following: Array = new + gates[c:] * (hidden - new)
        return following


class Committee:
    """Networks that were taught differently and are asked together. Immutable."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]], coefficients: int) -> None:
        """Those of network n are named "n.…"; after so many coefficients it gives logits.

        Raises KeyError or ValueError if they do not fit together.
        """
        count = 1 + max(int(name.split(".")[0]) for name in arrays if name[0].isdigit())
        self.members = [
            Network({name.removeprefix(f"{n}."): a for name, a in arrays.items() if name.startswith(f"{n}.")})
            for n in range(count)
        ]
        self.outputs = self.members[0].outputs
        self._coefficients = coefficients
        self._share = np.float32(1 / count)

    def states(self) -> list[State]:
        """Nothing heard yet."""
        return [member.state() for member in self.members]

    def step(self, heard: Array, states: list[State]) -> Array:
        """The next (2, 139) of a :class:`PhoneStream` → (outputs,): the means of the members' coefficients and of their
        probabilities. ``states`` move on."""
        answers = np.stack([member.step(heard, state) for member, state in zip(self.members, states, strict=True)])
        answers[:, self._coefficients :] = sigmoid(answers[:, self._coefficients :])
        mean: Array = answers.sum(axis=0) * self._share
        return mean


@dataclass(frozen=True)
class _Layer:
    weight: Array
    """(inputs, outputs)"""
    bias: Array
    """(outputs,)"""

    def __post_init__(self) -> None:
        if self.weight.shape[1:] != self.bias.shape:
            raise ValueError(f"a layer's weight {self.weight.shape} does not fit its bias {self.bias.shape}")

    def __call__(self, x: Array) -> Array:
        y: Array = x @ self.weight + self.bias
        return y


def normalised(heard: Array) -> Array:
    """(hops, 139): log posteriors, cut where they no longer mean anything, to -1…2; cepstra to about -2…2."""
    posteriors = (np.maximum(heard[:, :N_STATES], _POSTERIOR_FLOOR) + np.float32(4.0)) / np.float32(2.0)
    y: Array = np.concatenate([posteriors, heard[:, N_STATES:] / CEPSTRA_SPREAD], axis=1)
    return y


def _layer_norm(x: Array, gain: Array, bias: Array) -> Array:
    part = np.float32(1.0 / len(x))
    centred = x - x.sum() * part
    spread = np.sqrt((centred @ centred) * part + np.float32(1e-5))
    y: Array = centred * (gain / spread) + bias
    return y


def _gelu(x: Array) -> Array:
    """Hendrycks & Gimpel 2016, the tanh form."""
    inner = x * (_GELU_1 + _GELU_3 * (x * x))
    y: Array = _HALF * x * (_ONE + np.tanh(inner))
    return y


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    y: Array = _HALF + _HALF * np.tanh(_HALF * x)
    return y
