"""A bounded cache for things that are expensive to prepare: made once even when many threads ask at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from dataclasses import dataclass, fields, is_dataclass
from typing import Generic, TypeVar

import numpy as np

from lipstream.errors import CancelledError

LOOK_SECONDS = 0.1
"""How often those who wait for somebody else's result look whether they are still wanted."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Entry(Generic[V]):
    value: Future[V]
    weight: int = 0


class PreparedCache(Generic[K, V]):
    """Keeps the most recently used values whose weights add up to ``capacity`` at most; older ones are forgotten.

    A value heavier than the capacity is kept alone, until the next one comes. Thread-safe. Callers of the same missing
    key wait for the first one's result; a failure reaches all who waited and is not remembered, so the next caller
    tries again.
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V], cancelled: Callable[[], bool] = lambda: False) -> V:
        """The value for ``key``, by calling ``make`` if nobody has yet. Raises what ``make`` raises.

        ``cancelled`` is asked while another thread makes it; then :class:`lipstream.errors.CancelledError` is raised.
        """
        with self._lock:
            known = key in self._entries
            entry = self._entries.setdefault(key, _Entry(Future()))
            self._entries.move_to_end(key)
        try:
            if not known:
                return self._make(key, entry, make)
            while not entry.value.done():
                if cancelled():
                    raise CancelledError
                wait([entry.value], LOOK_SECONDS)
            return entry.value.result()
        finally:
            del entry  # or it lives on in a circle with its error and this frame

    def _make(self, key: K, entry: _Entry[V], make: Callable[[], V]) -> V:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._entries[key]
            entry.value.set_exception(error)
            del entry  # see get()
            raise
        with self._lock:
            entry.weight = self._weigh(value)
            self._forget()
        entry.value.set_result(value)
        return value

    def _forget(self) -> None:
        """Drop the oldest until the rest fits; what is still being made weighs nothing yet and stays."""
        total = sum(entry.weight for entry in self._entries.values())
        made = [key for key, entry in self._entries.items() if entry.weight]
        for key in made[:-1]:
            if total <= self._capacity:
                return
            total -= self._entries.pop(key).weight

    def __len__(self) -> int:
        return len(self._entries)


def held_bytes(value: object) -> int:
    """Bytes of all arrays that a tree of dataclasses, tuples and lists holds; anything else weighs nothing."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (tuple, list)):
        return sum(held_bytes(item) for item in value)
    if is_dataclass(value):
        return sum(held_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
