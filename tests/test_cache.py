"""PreparedCache: made once, bounded, failures not remembered."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lipstream.cache import PreparedCache
from lipstream.errors import CancelledError


def test_many_threads_asking_at_once_make_it_once() -> None:
    cache: PreparedCache[str, int] = PreparedCache(100, weigh=lambda value: value)
    made: list[int] = []
    start = threading.Barrier(8)

    def make() -> int:
        time.sleep(0.02)
        made.append(1)
        return 7

    def ask() -> int:
        start.wait()
        return cache.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert answers == [7] * 8
    assert len(made) == 1


def test_the_least_recently_used_is_forgotten_when_the_rest_weighs_too_much() -> None:
    cache: PreparedCache[int, int] = PreparedCache(50, weigh=lambda value: value)
    made: list[int] = []

    def value(key: int) -> int:
        def make() -> int:
            made.append(key)
            return key * 10

        return cache.get(key, make)

    assert [value(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]
    assert len(cache) == 2


def test_a_value_heavier_than_all_is_kept_until_the_next() -> None:
    cache: PreparedCache[str, int] = PreparedCache(10, weigh=lambda value: value)
    assert cache.get("heavy", lambda: 99) == 99
    assert cache.get("heavy", lambda: -1) == 99
    assert cache.get("light", lambda: 1) == 1
    assert cache.get("heavy", lambda: 98) == 98


def test_a_failure_reaches_everybody_who_waits_and_the_next_one_tries_again() -> None:
    cache: PreparedCache[str, int] = PreparedCache(100, weigh=lambda value: value)
    begun = threading.Event()

    def fail() -> int:
        begun.set()
        time.sleep(0.05)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", fail)
        begun.wait(5)
        second = pool.submit(cache.get, "key", lambda: 1)
        for future in (first, second):
            with pytest.raises(ValueError, match="no"):
                future.result()
    assert cache.get("key", lambda: 3) == 3


def test_who_waits_for_another_and_leaves_is_not_held_up() -> None:
    cache: PreparedCache[str, int] = PreparedCache(100, weigh=lambda value: value)
    begun, go_on = threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        go_on.wait(30)
        return 7

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", make)
        begun.wait(5)
        try:
            with pytest.raises(CancelledError):
                pool.submit(cache.get, "key", make, begun.is_set).result(5)
        finally:
            go_on.set()
        assert first.result(5) == 7
    assert cache.get("key", lambda: 3) == 7
