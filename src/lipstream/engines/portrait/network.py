"""The motion networks in plain NumPy, a step of 20 ms or a few at a time; ``training/network.py`` has them in PyTorch.

A step is short: what it costs is calls and bytes of weights, not sums. So one call computes all networks, and what is
known before the first sound is part of the weights (see ``_Member``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import BLOCK, N_CEPSTRA, N_HEARD, N_STATES

Array = NDArray[np.float32]

CEPSTRA_SPREAD = np.array([14.0, 4.0, 4.0, 5.0, 3.5, 3.5, 3.5, 3.0, 3.0, 3.0, 2.5, 2.5, 2.5], np.float32)
"""What the cepstra are divided by: about their standard deviations in speech."""

_TAPS = 3
_GATES = 3
_FLOOR = np.repeat(np.array([-6.0, -np.inf], np.float32), (N_STATES, N_CEPSTRA))
_OFFSET = np.repeat(np.array([4.0, 0.0], np.float32), (N_STATES, N_CEPSTRA))
_SPREAD = np.concatenate([np.full(N_STATES, 2.0, np.float32), CEPSTRA_SPREAD])
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_GELU_1 = np.float32(2.0 * np.sqrt(2.0 / np.pi))
_GELU_3 = np.float32(8.0 * np.sqrt(2.0 / np.pi) * 0.044715)
_NORM_EPSILON = np.float32(1e-5)


@dataclass
class State:
    """What the n networks of a committee remember between two steps."""

    block: Array
    """(2, 139) what was heard in the block before, normalised."""
    pasts: list[Array]
    """Per convolution, its inputs (n, steps, channels) of as many steps as it reaches back."""
    hidden: Array
    """(n, 1, channels) of the recurrent units."""

    def copy(self) -> State:
        # The arrays themselves are never written to.
        return State(self.block, list(self.pasts), self.hidden)


class Committee:
    """``training.network.MotionNetwork``s that were taught differently and are asked together. Immutable.

    They may differ in their channels and in whether they hear cepstra: what one lacks has weights of zero.
    """

    def __init__(self, arrays: dict[str, NDArray[np.generic]], coefficients: int) -> None:
        """Those of network n are named "n." and as ``training.export`` names them; after so many coefficients a network
        gives logits.

        Raises KeyError or ValueError if they do not fit together.
        """
        count = 1 + max(int(name.split(".")[0]) for name in arrays if name[0].isdigit())
        taught = [
            {name.removeprefix(f"{n}."): array for name, array in arrays.items() if name.startswith(f"{n}.")}
            for n in range(count)
        ]
        dilations = taught[0]["dilations"]
        if any(not np.array_equal(network["dilations"], dilations) for network in taught):
            raise ValueError("the networks' convolutions do not reach back equally far")
        self._dilations = [int(d) for d in dilations]
        self._channels = max(len(network["input.bias"]) for network in taught)
        self._coefficients = coefficients
        self.outputs = len(taught[0]["output.bias"])
        members = [_Member(network, self._channels, self.outputs) for network in taught]
        self._input = _stacked([member.input() for member in members])
        self._convolutions = [
            _stacked([member.convolution(i) for member in members]) for i in range(len(self._dilations))
        ]
        self._recurrent_input = _stacked([member.recurrent("input") for member in members])
        self._recurrent_hidden = _stacked([member.recurrent("hidden") for member in members])
        self._output = _stacked([member.output() for member in members])
        self._share = np.float32(1 / count)

    def state(self) -> State:
        """Nothing heard yet."""
        n, c = len(self._output[0]), self._channels
        pasts = [np.zeros((n, 2 * d, c), np.float32) for d in self._dilations]
        return State(np.zeros((BLOCK, N_HEARD), np.float32), pasts, np.zeros((n, 1, c), np.float32))

    def steps(self, heard: Array, state: State) -> Array:
        """The next (2 m, 139) of a :class:`PhoneStream`, m > 0 → (m, outputs): the means of the networks' coefficients
        and of their probabilities, step by step. ``state`` moves on."""
        answers = self.answers(heard, state)
        answers[:, :, self._coefficients :] = sigmoid(answers[:, :, self._coefficients :])
        mean: Array = answers.sum(axis=0) * self._share
        return mean

    def answers(self, heard: Array, state: State) -> Array:
        """The same → (n, m, outputs): each network's coefficients and logits."""
        blocks = np.concatenate([state.block, normalised(heard)])
        state.block = blocks[-BLOCK:]
        rows = blocks.reshape(len(heard) // BLOCK + 1, -1)
        h = _normed_layer(np.concatenate([rows[:-1], rows[1:]], axis=1), *self._input)
        m = h.shape[1]
        for i, (dilation, convolution) in enumerate(zip(self._dilations, self._convolutions, strict=True)):
            inputs = np.concatenate([state.pasts[i], h], axis=1)
            state.pasts[i] = inputs[:, m:]
            taps = [inputs[:, first : first + m] for first in (0, dilation, 2 * dilation)]
            h = h + _normed_layer(np.concatenate(taps, axis=2), *convolution)
        weight, bias = self._output
        h = h + self._recur(h, state)
        answers: Array = h @ weight + bias
        return answers

    def _recur(self, x: Array, state: State) -> Array:
        """Gated recurrent units as PyTorch defines them: (n, m, channels) → (n, m, channels)."""
        c = self._channels
        weight, bias = self._recurrent_input
        heard = x @ weight + bias
        weight, bias = self._recurrent_hidden
        hidden = state.hidden
        outputs = []
        for step in range(x.shape[1]):
            a, b = heard[:, step : step + 1], hidden @ weight + bias
            gates = _HALF + _HALF * np.tanh(a[:, :, : 2 * c] + b[:, :, : 2 * c])
            new = np.tanh(a[:, :, 2 * c :] + gates[:, :, :c] * b[:, :, 2 * c :])
            hidden = new + gates[:, :, c:] * (hidden - new)
            outputs.append(hidden)
        state.hidden = hidden
        return np.concatenate(outputs, axis=1)


class _Member:
    """The weights of one network as a committee computes with them.

    Layer normalisation needs no mean if the outputs of the layer before have none, and their sum of squares is the
    variance if they are scaled; GELU and the sigmoids of the gates take half of their argument: all of it is put into
    the weights.
    """

    def __init__(self, arrays: dict[str, NDArray[np.generic]], channels: int, outputs: int) -> None:
        """``channels`` and ``outputs`` of the committee. Arrays that do not fit raise ValueError when asked for."""
        self._arrays = arrays
        self._channels = len(arrays["input.bias"])
        self._inputs = len(arrays["input.weight"]) // (2 * BLOCK)
        self._wanted = channels
        self._outputs = outputs

    def input(self) -> list[Array]:
        """Weight (4 × 139, channels), bias, gain and offset (1, channels) of the first layer and its normalisation."""
        return self._normed("input", "norm", (2 * BLOCK, self._inputs), (2 * BLOCK, N_HEARD))

    def convolution(self, i: int) -> list[Array]:
        """The same of convolution i, its weight (3 × channels, channels), the oldest tap first."""
        return self._normed(f"blocks.{i}", f"blocks.{i}.norm", (_TAPS, self._channels), (_TAPS, self._wanted))

    def recurrent(self, source: str) -> list[Array]:
        """Weight (channels, 3 × channels) and bias (1, 3 × channels) of the two gates and the new state for "input",
        what the recurrent unit hears, or "hidden", what it remembers."""
        c, wanted = self._channels, self._wanted
        scale = np.array([[0.5], [0.5], [1.0]])
        weight = self._read(f"gru.{source}.weight", c, _GATES, c) * scale
        bias = self._read(f"gru.{source}.bias", 1, _GATES, c) * scale
        return [
            _padded(weight, wanted, _GATES, wanted).reshape(wanted, -1),
            _padded(bias, 1, _GATES, wanted).reshape(1, -1),
        ]

    def output(self) -> list[Array]:
        """Weight (channels, outputs) and bias (1, outputs)."""
        weight = self._read("output.weight", self._channels, self._outputs)
        bias = self._read("output.bias", 1, self._outputs)
        return [_padded(weight, self._wanted, self._outputs), _padded(bias, 1, self._outputs)]

    def _normed(self, layer: str, norm: str, inputs: tuple[int, int], wanted: tuple[int, int]) -> list[Array]:
        c = self._channels
        weight, bias = self._read(f"{layer}.weight", *inputs, c), self._read(f"{layer}.bias", 1, c)
        weight, bias = ((array - array.mean(axis=-1, keepdims=True)) / np.sqrt(c) for array in (weight, bias))
        gain, offset = self._read(f"{norm}.weight", 1, c) * np.sqrt(c) / 2.0, self._read(f"{norm}.bias", 1, c) / 2.0
        return [
            _padded(weight, *wanted, self._wanted).reshape(-1, self._wanted),
            *(_padded(row, 1, self._wanted) for row in (bias, gain, offset)),
        ]

    def _read(self, name: str, *shape: int) -> NDArray[np.float64]:
        return np.asarray(self._arrays[name], np.float64).reshape(shape)


def _padded(array: NDArray[np.float64], *shape: int) -> Array:
    """Zeros appended up to ``shape``."""
    padded = np.zeros(shape, np.float32)
    padded[tuple(slice(n) for n in array.shape)] = array
    return padded


def _stacked(layers: list[list[Array]]) -> list[Array]:
    """The arrays of the same layer of several networks, those of all in one."""
    return [np.stack(arrays) for arrays in zip(*layers, strict=True)]


def _normed_layer(x: Array, weight: Array, bias: Array, gain: Array, offset: Array) -> Array:
    """GELU (Hendrycks & Gimpel 2016, the tanh form) of the normalised layer; weights as :class:`_Member` gives them."""
    y = x @ weight + bias
    variance = np.vecdot(y, y)[:, :, np.newaxis]
    half = y * (gain / np.sqrt(variance + _NORM_EPSILON)) + offset
    gelu: Array = half * (_ONE + np.tanh(half * (_GELU_1 + _GELU_3 * (half * half))))
    return gelu


def normalised(heard: Array) -> Array:
    """(hops, 139): log posteriors, cut where they no longer mean anything, to -1…2; cepstra to about -2…2."""
    y: Array = (np.maximum(heard, _FLOOR) + _OFFSET) / _SPREAD
    return y


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    y: Array = _HALF + _HALF * np.tanh(_HALF * x)
    return y
