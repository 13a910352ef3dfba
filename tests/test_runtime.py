"""MNN against LiteRT (numbers recorded once) and against arithmetic (a network written here, byte by byte)."""

from __future__ import annotations

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.errors import ModelError
from lipstream.models.assets import (
    FACE_DETECTOR_FULL,
    FACE_DETECTOR_SHORT,
    FACE_MESH,
    MESH_LEFT_EYE,
    MESH_LIPS,
    MESH_RIGHT_EYE,
    MESH_TRUNK,
    Asset,
    Part,
)
from lipstream.models.convert import convert
from lipstream.models.runtime import Network
from lipstream.models.store import ModelStore
from lipstream.models.tflite import cut


@dataclass(frozen=True)
class Recorded:
    """What ai-edge-litert 2.3.0 gave for :func:`waves`."""

    shape: tuple[int, ...]
    mean: float
    std: float
    samples: tuple[float, ...]
    """At evenly spaced places of the flattened output, the first and the last among them."""


LITERT: list[tuple[Asset, Part | None, dict[str, Recorded]]] = [
    (
        FACE_DETECTOR_SHORT,
        None,
        {
            "regressors": Recorded((1, 896, 16), 4.97, 22.752, (0.32753, 1.0789, -8.6369, -12.886)),
            "classificators": Recorded((1, 896, 1), -4.4051, 3.889, (-4.4841, -4.1607, -2.8289, -38.892)),
        },
    ),
    (
        FACE_DETECTOR_FULL,
        None,
        {
            "reshaped_regressor_face_4": Recorded((1, 2304, 16), 4.0852, 22.411, (-3.2232, -0.26834, 1.8971, -3.1187)),
            "reshaped_classifier_face_4": Recorded(
                (1, 2304, 1), -5.4755, 0.82142, (-7.2616, -6.3693, -6.8509, -8.1575)
            ),
        },
    ),
    (
        FACE_MESH,
        MESH_TRUNK,
        {
            "output_mesh_identity": Recorded((1, 1, 1, 1404), 65.568, 51.347, (97.515, 0.81527, -1.4527, 4.7845)),
            "conv_faceflag": Recorded((1, 1, 1, 1), -15.34, 0.0, (-15.34,)),
            "p_re_lu_3": Recorded((1, 48, 48, 32), 3.0688, 9.0669, (-4.2122, -0.73824, 0.82037, 2.815)),
        },
    ),
    (FACE_MESH, MESH_LIPS, {"conv_lips": Recorded((1, 1, 1, 160), 31.063, 10.457, (12.451, 31.404, 19.392, 28.262))}),
    (
        FACE_MESH,
        MESH_RIGHT_EYE,
        {"conv_left_eye": Recorded((1, 1, 1, 142), 32.779, 10.424, (23.803, 38.025, 48.253, 30.959))},
    ),
    (
        FACE_MESH,
        MESH_LEFT_EYE,
        {"conv_right_eye": Recorded((1, 1, 1, 142), 33.849, 10.994, (40.71, 39.861, 14.507, 31.008))},
    ),
]


def waves(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An input that differs in every place."""
    count = int(np.prod(shape))
    return np.asarray(0.5 + 0.5 * np.sin(np.arange(count) * 0.37), np.float32).reshape(shape)


@pytest.mark.parametrize(("asset", "part", "expected"), LITERT, ids=lambda value: getattr(value, "name", None))
def test_networks_agree_with_litert(
    store: ModelStore, asset: Asset, part: Part | None, expected: dict[str, Recorded]
) -> None:
    network = Network(store.network(asset, part))
    outputs = network({name: waves(shape) for name, shape in network.inputs.items()})
    assert outputs.keys() == expected.keys()
    for name, recorded in expected.items():
        output = outputs[name]
        assert output.shape == recorded.shape
        assert output.dtype == np.dtype(np.float32)
        places = np.linspace(0, output.size - 1, len(recorded.samples)).astype(int)
        # Five digits were recorded.
        assert output.mean() == pytest.approx(recorded.mean, rel=2e-4)
        assert output.std() == pytest.approx(recorded.std, rel=2e-4)
        assert output.ravel()[places] == pytest.approx(recorded.samples, rel=2e-4)


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field; numbers below 128 only."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def value_info(name: bytes, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


WEIGHTS = np.array([[1, 2, 3], [-4, 0.5, 6]], np.float32)
BIAS = np.array([0.25, -1], np.float32)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """``y = 1×1 convolution of x``: three planes to two, in ONNX (onnx.proto), channels first."""

    def tensor(name: bytes, array: NDArray[np.float32]) -> bytes:
        dims = b"".join(field(1, size) for size in array.shape)
        return dims + field(2, 1) + field(8, name) + field(9, array.tobytes())

    node = b"".join(field(1, name) for name in (b"x", b"w", b"b")) + field(2, b"y") + field(4, b"Conv")
    graph = field(1, node) + field(2, b"g")
    graph += field(5, tensor(b"w", WEIGHTS.reshape(2, 3, 1, 1))) + field(5, tensor(b"b", BIAS))
    graph += field(11, value_info(b"x", (1, 3, 4, 5))) + field(12, value_info(b"y", (1, 2, 4, 5)))
    # The graph is longer than 127 bytes: its length takes two.
    graph = bytes([7 << 3 | 2, len(graph) & 127 | 128, len(graph) >> 7]) + graph
    path = tmp_path / "convolution.onnx"
    path.write_bytes(field(1, 7) + graph + field(8, field(1, b"") + field(2, 13)))
    return path


@pytest.fixture
def convolution(onnx: Path, tmp_path: Path) -> Network:
    target = tmp_path / "convolution.mnn"
    convert(onnx, target)
    return Network(target)


def by_hand(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("oc,nchw->nohw", WEIGHTS, x) + BIAS[:, np.newaxis, np.newaxis], np.float32)


def test_channels_first_and_changing_shapes(convolution: Network) -> None:
    assert convolution.inputs == {"x": (1, 3, 4, 5)}
    for shape in [(1, 3, 4, 5), (4, 3, 4, 5), (4, 3, 2, 7), (1, 3, 4, 5)]:
        x = waves(shape)
        (y,) = convolution({"x": x}).values()
        assert y == pytest.approx(by_hand(x), abs=1e-5)
        assert convolution.inputs == {"x": shape}


def test_input_may_be_any_view_and_stays_as_it_is(convolution: Network) -> None:
    whole = waves((1, 5, 4, 3)).astype(np.float64)
    before = whole.copy()
    view = whole.transpose(0, 3, 2, 1)
    (y,) = convolution({"x": view}).values()
    assert y == pytest.approx(by_hand(view.astype(np.float32)), abs=1e-5)
    assert (whole == before).all()


def test_outputs_are_not_overwritten_by_the_next_call(convolution: Network) -> None:
    (first,) = convolution({"x": waves((1, 3, 4, 5))}).values()
    kept = first.copy()
    convolution({"x": np.zeros((1, 3, 4, 5), np.float32)})
    assert (first == kept).all()


def test_threads_get_their_own_results(convolution: Network) -> None:
    def run(seed: int) -> bool:
        x = np.random.default_rng(seed).random((1 + seed % 3, 3, 4, 5), np.float32)
        return all(np.allclose(convolution({"x": x})["y"], by_hand(x), atol=1e-5) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(8)))


def test_wrong_input_name(convolution: Network) -> None:
    with pytest.raises(ValueError, match=r"\['x'\]"):
        convolution({"z": waves((1, 3, 4, 5))})


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_file_that_is_no_network(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mnn"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="lipstream models pull") as caught:
        Network(path)
    assert caught.value.code == "model_damaged"


def test_truncated_network(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "half.mnn"
    path.write_bytes(store.network(FACE_DETECTOR_SHORT).read_bytes()[:100_000])
    with pytest.raises(ModelError):
        Network(path)


def test_file_that_cannot_be_converted(tmp_path: Path) -> None:
    source = tmp_path / "bad.onnx"
    source.write_bytes(b"garbage" * 100)
    with pytest.raises(ModelError) as caught:
        convert(source, tmp_path / "bad.mnn")
    assert caught.value.code == "model_damaged"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_cut_of_an_unknown_tensor(store: ModelStore) -> None:
    model = store.path(FACE_MESH).read_bytes()
    with pytest.raises(ModelError, match="nothing"):
        cut(model, ("input_1",), ("nothing",))
    with pytest.raises(ModelError):
        cut(model, ("input_1", "conv_lips"), ("conv_faceflag",))


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(64), b"\xff" * 64, struct.pack("<I4s", 1 << 31, b"TFL3")])
def test_cut_of_something_else(content: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        cut(content, ("a",), ("b",))
    assert caught.value.code == "model_damaged"


def test_cut_keeps_what_is_between(store: ModelStore) -> None:
    model = store.path(FACE_MESH).read_bytes()
    part = cut(model, MESH_LIPS.inputs, MESH_LIPS.outputs)
    assert len(part) == len(model)
    assert part != model
    assert cut(part, MESH_LIPS.inputs, MESH_LIPS.outputs) == part


def test_loading_prints_nothing_and_never_touches_mnns_tools(store: ModelStore, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from lipstream.models.convert import convert; from lipstream.models.runtime import Network\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2])); Network(Path(sys.argv[2]))\n"
        "assert 'MNN' in sys.modules and 'MNN.tools' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(store.path(FACE_DETECTOR_SHORT)), str(tmp_path / "d.mnn")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
