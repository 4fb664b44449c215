"""Work that threads do a little ahead of the one who asks for it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(calls: Iterable[Callable[[], T]], many: int, threads: int = 1) -> Generator[T]:
    """What calls return, in their order, made by threads of this process.

    Args:
        calls: made in their order; with several threads, side by side.
        many: how many are asked for ahead of the one that is waited for.
        threads: how many make them.

    Raises:
        Exception: what a call raised, when its turn comes.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) > many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
