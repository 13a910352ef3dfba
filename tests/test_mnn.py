"""MNN where nothing may make memory executable, as glibc 2.41, systemd's MemoryDenyWriteExecute and SELinux have it."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest

from lipstream.models.assets import FACE_DETECTOR_SHORT
from lipstream.models.mnn import without_executable_stack
from lipstream.models.runtime import Network
from lipstream.models.store import ModelStore

NO_MORE_EXECUTABLE = 65, 1, 0, 0, 0
"""prctl(2): PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, since Linux 6.3."""

FORBID = f"import ctypes; assert ctypes.CDLL(None).prctl{NO_MORE_EXECUTABLE} == 0"


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def refused() -> None:
    """Skips where the system cannot be made to refuse, or MNN's wheel no longer demands what is refused."""
    if sys.platform != "linux" or run(FORBID).returncode:
        pytest.skip("needs Linux 6.3")
    if "executable stack" not in run(f"{FORBID}\nimport _mnncengine").stderr:
        pytest.skip("MNN loads without the detour")


@pytest.mark.usefixtures("refused")
def test_converts_and_runs_where_executable_stacks_are_refused(store: ModelStore, tmp_path: Path) -> None:
    # What a process may not do its children may not either: the converter runs in one.
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from lipstream.models.convert import convert; from lipstream.models.runtime import Network\n"
        f"{FORBID}\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "network = Network(Path(sys.argv[2])); (name, shape), = network.inputs.items()\n"
        "np.savez(sys.argv[3], **network({name: np.full(shape, 0.25, np.float32)}))"
    )
    converted, result = tmp_path / "detector.mnn", tmp_path / "result.npz"
    done = run(program, store.path(FACE_DETECTOR_SHORT), converted, result)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    network = Network(converted)
    ((name, shape),) = network.inputs.items()
    expected = network({name: np.full(shape, 0.25, np.float32)})
    with np.load(result) as there:
        for output, values in expected.items():
            np.testing.assert_array_equal(there[output], values)


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_only_one_flag_is_cleared() -> None:
    spec = PathFinder.find_spec("_mnncengine")
    assert spec is not None
    before = Path(str(spec.origin)).read_bytes()
    after = without_executable_stack(before)
    changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
    assert [before[i] ^ after[i] for i in changed] in ([], [1])
    assert without_executable_stack(after) == after
