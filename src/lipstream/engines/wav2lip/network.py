"""The generator, loaded: a face is encoded once, then mel windows become pictures."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS
from lipstream.engines.wav2lip.export import FACE, MEL, PICTURE, share
from lipstream.engines.wav2lip.imported import ImportedModel
from lipstream.errors import ModelError
from lipstream.models.mnn import import_mnn
from lipstream.models.runtime import Network

logger = logging.getLogger(__name__)

Device = Literal["cpu", "cuda"]
Shares = Mapping[str, NDArray[np.float32]]
"""What the face encoder computed for one portrait, by name."""

# MNN's enumeration Interpreter::HintMode, which its Python package does not name, and a level of it.
_WINOGRAD_MEMORY_LEVEL = 3
_NO_TILES, _SMALL_TILES, _LARGE_TILES = 0, 1, 3
_GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
_FALLBACK_PROVIDER = "CPUExecutionProvider"


class Runner(Protocol):
    """A loaded graph: arrays by input name in, arrays by output name out. Thread-safe."""

    def __call__(self, inputs: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
        """Run it once."""
        ...


class OnnxNetwork:
    """A graph on ONNX Runtime. Thread-safe, as ONNX Runtime's sessions are."""

    def __init__(self, path: Path, providers: list[str]) -> None:
        """Load ``path``. Raises whatever ONNX Runtime raises when a provider cannot start."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; it warns about every node it places on the CPU
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)

    @property
    def providers(self) -> list[str]:
        """The providers that actually run it; ONNX Runtime silently leaves out those that do not start."""
        return list(self._session.get_providers())

    def __call__(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Run it once."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


class FaceEncoder:
    """What the decoder needs of a face. Thread-safe."""

    def __init__(self, network: Runner, cut: Sequence[int]) -> None:
        """``cut`` are the rows that the decoder wants cut off the top of each share."""
        self._network = network
        self._cut = cut

    def __call__(self, face: NDArray[np.float32]) -> Shares:
        """Shares of a face, (6, side, side) BGR in [0, 1]: masked picture, then the whole one."""
        made = self._network({FACE: np.ascontiguousarray(face[np.newaxis])})
        return {share(n): np.ascontiguousarray(made[share(n)][:, :, rows:]) for n, rows in enumerate(self._cut)}


class GeneratorNetwork:
    """The whole generator. Thread-safe; threads that call at the same time take turns."""

    def __init__(
        self, model: ImportedModel, *, mouth_only: bool, device: Device = "cpu", threads: int = 2, precise: bool = True
    ) -> None:
        """Load the decoder: with ``mouth_only`` the one for the lower rows, where there is one.

        ``precise=False`` lets the CPU compute batches a quarter faster with larger rounding errors, see
        :class:`TiledNetwork`. ``device="cuda"`` falls back to the CPU if ONNX Runtime finds no GPU, and logs why.
        """
        self._model = model
        self._threads = threads
        self.precise = precise
        """Whether batches take small tiles."""
        self._gpu = _gpu_providers(model.graph("face")) if device == "cuda" else []
        self.device: Device = "cuda" if self._gpu else "cpu"
        first = model.description.first_mouth_row
        self._mouth_only = mouth_only and first is not None and not self._gpu
        self.first_row = first if self._mouth_only and first is not None else 0
        """First row of the network's picture that :meth:`generate` gives."""
        self._encoder: weakref.ref[FaceEncoder] | None = None
        self._encoder_lock = threading.Lock()
        self._decoder = self._load("mouth" if self._mouth_only else "decoder")

    @property
    def side(self) -> int:
        """Side of the network's pictures, pixels."""
        return self._model.description.side

    def encoder(self) -> FaceEncoder:
        """The face encoder. Its 140 MB are freed once nobody holds it any more; stills need it only for a moment."""
        with self._encoder_lock:
            encoder = self._encoder() if self._encoder else None
            if encoder is None:
                description = self._model.description
                cut = description.mouth_share_rows if self._mouth_only else (0,) * description.shares
                encoder = FaceEncoder(self._load("face"), cut)
                self._encoder = weakref.ref(encoder)
            return encoder

    def encode(self, face: NDArray[np.float32]) -> Shares:
        """What the decoder needs of one face, see :class:`FaceEncoder`."""
        return self.encoder()(face)

    def generate(
        self, windows: NDArray[np.float32], shares: Shares | Sequence[Shares], batch: int
    ) -> NDArray[np.float32]:
        """Pictures for mel windows (n, 80, 16): (n, side - first_row, side, 3) BGR in [0, 1].

        ``shares`` is one face, or one for each window. The decoder always gets ``batch`` windows at a time, padded at
        the end: another number would need another plan and could round differently.
        """
        faces = [shares] * len(windows) if isinstance(shares, Mapping) else shares
        starts = range(0, len(windows), batch)
        pictures = [self._batch(windows[at : at + batch], faces[at : at + batch], batch) for at in starts]
        return np.concatenate(pictures)

    def _batch(self, windows: NDArray[np.float32], shares: Sequence[Shares], batch: int) -> NDArray[np.float32]:
        padded = np.empty((batch, 1, MEL_BANDS, WINDOW_COLUMNS), np.float32)
        padded[: len(windows), 0] = windows
        padded[len(windows) :] = padded[len(windows) - 1]
        pictures = self._decoder({MEL: padded, **self._faces(shares, batch)})[PICTURE]
        return np.moveaxis(pictures[: len(windows)], 1, -1)

    def _faces(self, shares: Sequence[Shares], batch: int) -> Shares:
        first = shares[0]
        if all(other is first for other in shares):
            times = batch if self._model.description.batched_shares else 1
            return first if times == 1 else {name: np.repeat(array, times, axis=0) for name, array in first.items()}
        padded = [*shares, *[shares[-1]] * (batch - len(shares))]
        return {name: np.concatenate([one[name] for one in padded], dtype=np.float32) for name in first}

    def _load(self, name: str) -> Runner:
        if self._gpu:
            return OnnxNetwork(self._model.graph(name), self._gpu)
        path = self._model.network(name)
        if name == "face":
            # Runs once per picture, and its first kernel, 7×7, suffers most from tiles.
            return TiledNetwork(path, self._threads, tiles=_NO_TILES, batch_tiles=_NO_TILES)
        batch_tiles = _SMALL_TILES if self.precise else _LARGE_TILES
        return TiledNetwork(path, self._threads, tiles=_SMALL_TILES, batch_tiles=batch_tiles)


class TiledNetwork(Network):
    """MNN with a choice of Winograd tiles, and a plan of its own for every batch size.

    By default MNN uses the largest tiles that the processor supports. On AVX-512 they make batches a quarter faster and
    take 200 MB more, but their rounding errors reach 3e-3, nearly a grey level, and several levels if the values of a
    network vary more. Small tiles keep the errors below 2e-5. Plans for several shapes share the weights of the file,
    so live and one-shot work can alternate without planning again.
    """

    def __init__(self, path: Path, threads: int, *, tiles: int, batch_tiles: int) -> None:
        """Load ``path``; ``tiles`` are for single inputs. Raises :class:`ModelError` (``model_damaged``)."""
        # Not the base class's: it would plan a session with large tiles that nobody needs.
        if not path.is_file() or path.stat().st_size == 0:
            raise _unusable(path)
        self._path = path
        self._mnn = import_mnn()
        try:
            self._interpreter = self._mnn.Interpreter(str(path))
        except Exception as error:  # MNN raises bare Exceptions
            raise _unusable(path) from error
        self._threads = threads
        self._tiles, self._batch_tiles = tiles, batch_tiles
        self._plan(tiles)
        first = tuple(_shape(tensor) for tensor in self._inputs.values())
        self._plans = {first: (self._session, self._inputs)}
        self._lock = threading.Lock()

    def _plan(self, tiles: int) -> None:
        # The hint reaches only the sessions that are made after it.
        self._interpreter.setSessionHint(_WINOGRAD_MEMORY_LEVEL, tiles)
        try:
            self._session = self._interpreter.createSession({"backend": "CPU", "numThread": self._threads})
        except Exception as error:  # MNN raises bare Exceptions
            raise _unusable(self._path) from error
        self._inputs = dict(self._interpreter.getSessionInputAll(self._session))

    def _resize(self, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        shapes = tuple(inputs[name].shape for name in self._inputs)
        if shapes not in self._plans:
            batch = max(shape[0] for shape in shapes)
            self._plan(self._batch_tiles if batch > 1 else self._tiles)
            super()._resize(inputs)
            self._plans[shapes] = self._session, self._inputs
        self._session, self._inputs = self._plans[shapes]


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.getShape())


def _unusable(path: Path) -> ModelError:
    return ModelError(
        "model_damaged", f"MNN cannot load {path}. Delete the folder it is in; the checkpoint is then imported again."
    )


def _gpu_providers(graph: Path) -> list[str]:
    """The providers that run ``graph`` on the GPU here, the fastest first; none = the reason is logged."""
    try:
        import onnxruntime
    except ImportError:
        logger.warning("device=cuda: ONNX Runtime is not installed (pip install 'lipstream[gpu]'); using the CPU")
        return []
    available = onnxruntime.get_available_providers()
    wanted = [name for name in _GPU_PROVIDERS if name in available]
    if not wanted:
        logger.warning("device=cuda: this ONNX Runtime has only %s; using the CPU", ", ".join(available))
        return []
    try:
        started = OnnxNetwork(graph, [*wanted, _FALLBACK_PROVIDER]).providers
    except Exception as error:  # whatever the driver says, the CPU still works
        logger.warning("device=cuda: ONNX Runtime cannot start the GPU (%s); using the CPU", error)
        return []
    if started == [_FALLBACK_PROVIDER]:
        logger.warning("device=cuda: ONNX Runtime found no GPU it can use; using the CPU")
        return []
    return started
