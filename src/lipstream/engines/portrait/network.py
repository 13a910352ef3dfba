"""The motion network in plain NumPy, a step of 20 ms or a few at a time; ``training/network.py`` has it in PyTorch.

A step is short: what it costs is calls and bytes of weights, not sums. So what is known before the first sound is part
of the weights (see :class:`Network`).
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
    """What the network remembers between two steps."""

    block: Array
    """(2, 139) what was heard in the block before, normalised."""
    pasts: list[Array]
    """Per convolution, its inputs (steps, channels) of as many steps as it reaches back."""
    hidden: Array
    """(1, channels) of the recurrent unit."""

    def copy(self) -> State:
        # The arrays themselves are never written to.
        return State(self.block, list(self.pasts), self.hidden)


class Network:
    """A trained ``training.network.MotionNetwork``. Immutable.

    Layer normalisation needs no mean if the outputs of the layer before have none, and their sum of squares is the
    variance if they are scaled; GELU and the sigmoids of the gates take half of their argument: all of it is put into
    the weights.
    """

    def __init__(self, arrays: dict[str, NDArray[np.generic]], coefficients: int, classes: int) -> None:
        """Arrays named as ``training.export`` names them. The network gives so many coefficients first, then logits of
        single events, and last those of so many classes that exclude each other.

        Raises KeyError or ValueError if they do not fit together.
        """
        self._arrays = arrays
        self._events = slice(coefficients, -classes)
        self._classes = slice(-classes, None)
        self._channels = c = arrays["input.bias"].size
        self.outputs = arrays["output.bias"].size
        self._dilations = [int(d) for d in arrays["dilations"]]
        self._input = self._normed("input", "norm", 2 * BLOCK * N_HEARD)
        self._convolutions = [
            self._normed(f"blocks.{i}", f"blocks.{i}.norm", _TAPS * c) for i in range(len(self._dilations))
        ]
        self._recurrent = {source: self._gates(f"gru.{source}") for source in ("input", "hidden")}
        self._output = (
            _single(self._read("output.weight", c, self.outputs)),
            _single(self._read("output.bias", self.outputs)),
        )

    def state(self) -> State:
        """Nothing heard yet."""
        pasts = [np.zeros((2 * d, self._channels), np.float32) for d in self._dilations]
        return State(np.zeros((BLOCK, N_HEARD), np.float32), pasts, np.zeros((1, self._channels), np.float32))

    def steps(self, heard: Array, state: State) -> Array:
        """The next (2 m, 139) of a :class:`PhoneStream`, m > 0 → (m, outputs): coefficients and probabilities, step by
        step. ``state`` moves on."""
        answers = self.answers(heard, state)
        answers[:, self._events] = sigmoid(answers[:, self._events])
        answers[:, self._classes] = softmax(answers[:, self._classes])
        return answers

    def answers(self, heard: Array, state: State) -> Array:
        """The same → (m, outputs): coefficients and logits."""
        blocks = np.concatenate([state.block, normalised(heard)])
        state.block = blocks[-BLOCK:]
        rows = blocks.reshape(len(heard) // BLOCK + 1, -1)
        h = _normed_layer(np.concatenate([rows[:-1], rows[1:]], axis=1), *self._input)
        m = len(h)
        for i, (dilation, convolution) in enumerate(zip(self._dilations, self._convolutions, strict=True)):
            inputs = np.concatenate([state.pasts[i], h])
            state.pasts[i] = inputs[m:]
            taps = [inputs[first : first + m] for first in (0, dilation, 2 * dilation)]
            h = h + _normed_layer(np.concatenate(taps, axis=1), *convolution)
        h = h + self._recur(h, state)
        weight, bias = self._output
        answers: Array = h @ weight + bias
        return answers

    def _recur(self, x: Array, state: State) -> Array:
        """A gated recurrent unit as PyTorch defines it: (m, channels) → (m, channels)."""
        c = self._channels
        weight, bias = self._recurrent["input"]
        heard = x @ weight + bias
        weight, bias = self._recurrent["hidden"]
        hidden = state.hidden
        outputs = []
        for step in range(len(x)):
            a, b = heard[step : step + 1], hidden @ weight + bias
            gates = _HALF + _HALF * np.tanh(a[:, : 2 * c] + b[:, : 2 * c])
            new = np.tanh(a[:, 2 * c :] + gates[:, :c] * b[:, 2 * c :])
            hidden = new + gates[:, c:] * (hidden - new)
            outputs.append(hidden)
        state.hidden = hidden
        return np.concatenate(outputs)

    def _normed(self, layer: str, norm: str, inputs: int) -> tuple[Array, Array, Array, Array]:
        """Weight (inputs, channels) and bias of a layer, gain and offset of the normalisation after it."""
        c = self._channels
        weight, bias = (
            _single((array - array.mean(axis=-1, keepdims=True)) / np.sqrt(c))
            for array in (self._read(f"{layer}.weight", inputs, c), self._read(f"{layer}.bias", c))
        )
        gain, offset = self._read(f"{norm}.weight", c) * np.sqrt(c) / 2.0, self._read(f"{norm}.bias", c) / 2.0
        return weight, bias, _single(gain), _single(offset)

    def _gates(self, name: str) -> tuple[Array, Array]:
        """Weight (channels, 3 × channels) and bias of the two gates and the new state."""
        c = self._channels
        scale = np.repeat([0.5, 0.5, 1.0], c)
        return (
            _single(self._read(f"{name}.weight", c, _GATES * c) * scale),
            _single(self._read(f"{name}.bias", _GATES * c) * scale),
        )

    def _read(self, name: str, *shape: int) -> NDArray[np.float64]:
        return np.asarray(self._arrays[name], np.float64).reshape(shape)


def _normed_layer(x: Array, weight: Array, bias: Array, gain: Array, offset: Array) -> Array:
    """GELU (Hendrycks & Gimpel 2016, the tanh form) of the normalised layer; weights as :class:`Network` keeps them."""
    y = x @ weight + bias
    variance = np.vecdot(y, y)[:, np.newaxis]
    half = y * (gain / np.sqrt(variance + _NORM_EPSILON)) + offset
    gelu: Array = half * (_ONE + np.tanh(half * (_GELU_1 + _GELU_3 * (half * half))))
    return gelu


def _single(array: NDArray[np.float64]) -> Array:
    return np.ascontiguousarray(array, np.float32)


def normalised(heard: Array) -> Array:
    """(hops, 139): log posteriors, cut where they no longer mean anything, to -1…2; cepstra to about -2…2."""
    y: Array = (np.maximum(heard, _FLOOR) + _OFFSET) / _SPREAD
    return y


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    y: Array = _HALF + _HALF * np.tanh(_HALF * x)
    return y


def softmax(x: Array) -> Array:
    """(…, n) logits of n classes → probabilities that add up to 1."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(y / y.sum(axis=-1, keepdims=True))
