"""Parts are worked on side by side, threads are shared out, and nothing else notices."""

from threading import Barrier, Thread, current_thread

import pytest
import torch

from extract.running.side_by_side import part_size, side_by_side


@pytest.mark.usefixtures("four_threads")
def test_two_parts_are_worked_on_at_once_by_half_of_the_threads_each():
    met = Barrier(2, timeout=10)

    def work(part: str) -> tuple[str, int, bool]:
        met.wait()  # breaks unless both are there
        return part, torch.get_num_threads(), torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert list(side_by_side(work, ["a", "b"])) == [("a", 2, True), ("b", 2, True)]
    assert [inference for *_, inference in side_by_side(work, ["a", "b"])] == [False, False]


@pytest.mark.usefixtures("four_threads")
def test_who_asks_and_threads_that_begin_later_keep_all_of_them():
    list(side_by_side(lambda part: torch.ones(part).sum(), [2, 3, 4]))
    seen = [torch.get_num_threads()]
    later = Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [4, 4]


@pytest.mark.usefixtures("four_threads")
def test_results_come_in_the_order_of_more_parts_than_threads():
    assert list(side_by_side(lambda part: part * part, range(50))) == [i * i for i in range(50)]


@pytest.mark.usefixtures("four_threads")
def test_parts_are_as_many_for_each_thread_and_none_is_too_large_or_too_small():
    assert [part_size(count, most=8) for count in (1, 4, 32, 33, 100)] == [1, 1, 8, 5, 7]
    assert [part_size(count, most=8, least=4) for count in (8, 15, 16)] == [8, 4, 4]


@pytest.mark.usefixtures("four_threads")
def test_a_part_alone_is_worked_on_where_it_stands_with_all_threads():
    (found,) = side_by_side(lambda _: (current_thread(), torch.get_num_threads()), ["a"])
    assert found == (current_thread(), 4)
    assert list(side_by_side(str, [])) == []


@pytest.mark.usefixtures("four_threads")
def test_a_failure_is_raised_and_what_was_not_begun_never_begins():
    begun, go_on = [], Barrier(100, timeout=10)

    def work(part: int) -> None:
        begun.append(part)
        if part == 0:
            raise ValueError("the first")
        go_on.wait()  # the others hold their threads: they are too few to go on

    with pytest.raises(ValueError, match="the first"):
        # One thread is free again and takes the fifth at once; no more than that.
        list(side_by_side(work, range(100)))
    go_on.abort()
    assert len(begun) <= 5
