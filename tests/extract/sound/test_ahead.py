"""Reading ahead: order, bounds, failures, and an end when nobody takes any more."""

import threading
from threading import Event

import pytest

from extract.sound.ahead import Ended, read_ahead
from features.common.errors import ClipError


def test_items_come_in_the_order_of_their_sources_each_with_its_end():
    def broken():
        yield "c"
        raise ClipError("damaged")

    sources = [lambda: ["a", "b"], lambda: [], broken, lambda: ["d"]]
    assert list(read_ahead(sources, at_once=3, depth=1)) == [
        (0, "a"), (0, "b"), (0, Ended()),
        (1, Ended()),
        (2, "c"), (2, Ended(failure="damaged")),
        (3, "d"), (3, Ended()),
    ]  # fmt: skip


def test_what_is_no_fault_of_a_source_is_raised_where_items_are_taken():
    def faulty():
        yield "a"
        raise ZeroDivisionError

    items = read_ahead([faulty], at_once=1, depth=4)
    assert next(items) == (0, "a")
    with pytest.raises(ZeroDivisionError):
        list(items)


def test_no_more_is_read_than_there_is_room_for():
    read, second = [], Event()

    def counting(name, enough):
        for number in range(10):
            read.append((name, number))
            if len([1 for item in read if item[0] == name]) == enough:
                second.set()
            yield number

    sources = [lambda: iter([0]), lambda: counting("b", 3), lambda: counting("c", 3)]
    items = read_ahead(sources, at_once=2, depth=2)
    assert next(items) == (0, 0)
    assert second.wait(10)  # two wait in the line, the third for room
    assert read == [("b", 0), ("b", 1), ("b", 2)]
    assert [number for number, _ in items] == [0] + 11 * [1] + 11 * [2]


def test_threads_end_when_nobody_takes_any_more():
    items = read_ahead([lambda: iter(range(1000))], at_once=1, depth=1)
    next(items)
    threads = [thread for thread in threading.enumerate() if thread.name == "decode"]
    assert threads
    items.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
