from __future__ import annotations

from itertools import count

from perhop.brain.engines.lending import Pool


class Borrower:
    def __init__(self) -> None:
        self.over = False
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


def test_never_more_than_the_limit_is_made_and_who_waits_longest_is_next() -> None:
    numbers = count()
    pool: Pool[int] = Pool(lambda: next(numbers), limit=2)
    first, second, third, fourth = (Borrower() for _ in range(4))
    assert {pool.take(first), pool.take(second)} == {0, 1}  # type: ignore[arg-type]
    assert pool.take(third) is pool.take(fourth) is pool.take(third) is None  # type: ignore[arg-type]
    pool.give_back(0)
    assert (third.resumed, fourth.resumed) == (1, 0)
    assert pool.take(third) == 0  # type: ignore[arg-type]
    fourth.over = True
    pool.give_back(1)
    assert fourth.resumed == 0
    assert next(numbers) == 2


def test_a_preferred_one_is_lent_and_a_worn_one_replaced() -> None:
    numbers = count()
    pool: Pool[int] = Pool(lambda: next(numbers), limit=3)
    for number in [pool.take(Borrower()) for _ in range(3)]:  # type: ignore[arg-type]
        assert number is not None
        pool.give_back(number)
    assert pool.take(Borrower(), prefer=lambda number: number == 1) == 1  # type: ignore[arg-type]
    pool.give_back(1, worn=True)
    assert pool.take(Borrower(), prefer=lambda number: number == 3) == 3  # type: ignore[arg-type]
