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
"""How often a thread that waits for another one's result checks whether the result is still wanted; seconds."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Entry(Generic[V]):
    value: Future[V]
    weight: int = 0


class PreparedCache(Generic[K, V]):
    """Keeps the most recently used values, as many as fit into ``capacity`` by their weights, and drops older ones.

    A value that is heavier than the whole capacity is kept alone until the next one comes. Thread-safe. If several
    threads ask for the same missing key, the first one makes the value and the others wait for it. If that fails, all
    of them get the error; it is not cached, so the next caller tries again.
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V], cancelled: Callable[[], bool] = lambda: False) -> V:
        """The value for ``key``; made by calling ``make`` if it is not there yet. Raises what ``make`` raises.

        While another thread makes the value, ``cancelled`` is polled; once it returns true,
        :class:`lipstream.errors.CancelledError` is raised.
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
            del entry  # breaks the reference cycle of the entry, its error and this frame

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
        """Drop the oldest values until the rest fits. Values that are still being made weigh nothing yet and stay."""
        total = sum(entry.weight for entry in self._entries.values())
        made = [key for key, entry in self._entries.items() if entry.weight]
        for key in made[:-1]:
            if total <= self._capacity:
                return
            total -= self._entries.pop(key).weight

    def __len__(self) -> int:
        return len(self._entries)


def held_bytes(value: object) -> int:
    """Bytes of all arrays in a tree of dataclasses, tuples and lists; everything else counts as 0."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (tuple, list)):
        return sum(held_bytes(item) for item in value)
    if is_dataclass(value):
        return sum(held_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
