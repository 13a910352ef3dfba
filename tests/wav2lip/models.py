"""Checkpoints that tests make for themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.wav2lip.architecture import generator


def random_weights(width: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Tensors by their published names: random weights, random batch-norm statistics."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in generator(width).tensor_shapes().items():
        if len(shape) == 4:
            values = random.standard_normal(shape) * (2.0 / np.prod(shape[1:])) ** 0.5
        elif name.endswith(("1.weight", "running_var")):
            values = random.uniform(0.5, 1.5, shape)
        else:
            values = random.uniform(-0.2, 0.2, shape)
        weights[name] = values.astype(np.float32)
    return weights
