"""A bounded cache for things that are expensive to prepare: made once even when many threads ask at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, fields, is_dataclass
from typing import Generic, TypeVar

import numpy as np

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

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value for ``key``, by calling ``make`` if nobody has yet. Raises what ``make`` raises."""
        with self._lock:
            known = self._entries.get(key)
            if known:
                self._entries.move_to_end(key)
            else:
                entry = self._entries[key] = _Entry(Future())
        return known.value.result() if known else self._make(key, entry, make)

    def _make(self, key: K, entry: _Entry[V], make: Callable[[], V]) -> V:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._entries[key]
            entry.value.set_exception(error)
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
