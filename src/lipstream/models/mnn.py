"""Import MNN's compiled modules, also where the system refuses them as they are.

The wheels of MNN (3.6.1 and all before) demand an executable stack, which they do not need: their assembly sources only
fail to say so. glibc 2.41 and newer (Debian 13, Ubuntu 25.04, Fedora 42) load no such library into a running program.
There, a copy in memory without this demand is loaded instead, so that nobody has to change what pip has installed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import struct
import sys
from importlib.machinery import ExtensionFileLoader, PathFinder
from pathlib import Path
from types import ModuleType

_GNU_STACK, _EXECUTABLE = 0x6474E551, 1  # <elf.h>: PT_GNU_STACK, PF_X
_REFUSAL = "executable stack"  # in the loader's message


def import_mnn() -> ModuleType:
    """Import MNN without the line about the processor that it prints on standard output.

    Raises :class:`ImportError`.
    """
    if "MNN" in sys.modules or sys.stdout is None:
        return _import_mnn()
    sys.stdout.flush()
    saved, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        return _import_mnn()
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)  # the line may still be in C's buffer
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nothing)


def import_converter() -> ModuleType:
    """Import the compiled half of MNN's converter. ``MNN.tools``, the package around it, must not be imported: it
    installs a logging package with pip and reports every conversion to its vendor. Raises :class:`ImportError`."""
    return _import_compiled("_tools")


def _import_mnn() -> ModuleType:
    _import_compiled("_mnncengine")  # which MNN imports
    return importlib.import_module("MNN")


def _import_compiled(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if _REFUSAL not in str(error):
            raise
    return import_from_memory(name)


def import_from_memory(name: str) -> ModuleType:
    """Import a compiled module from a copy of its file that demands no executable stack. Linux only."""
    found = PathFinder.find_spec(name)
    assert found is not None, "it was found before"
    file = Path(str(found.origin))
    for library in file.parent.glob("mnn.libs/*.so*"):  # which the module looks for beside itself
        ctypes.CDLL(str(library))
    memory = os.memfd_create(name)
    # It stays open: the loader takes a library of the same path for the same library.
    with open(memory, "wb", closefd=False) as copy:
        copy.write(without_executable_stack(file.read_bytes()))
    spec = importlib.util.spec_from_loader(name, ExtensionFileLoader(name, f"/proc/self/fd/{memory}"))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    module.__loader__.exec_module(module)  # type: ignore[union-attr]
    return module


def without_executable_stack(library: bytes) -> bytes:
    """A 64-bit little-endian ELF file with the executable flag of its PT_GNU_STACK header cleared (System V ABI,
    chapter 5, Program Header)."""
    changed = bytearray(library)
    (first,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for header in range(first, first + size * count, size):
        kind, flags = struct.unpack_from("<II", library, header)
        if kind == _GNU_STACK:
            struct.pack_into("<I", changed, header + 4, flags & ~_EXECUTABLE)
    return bytes(changed)
