"""Calls made by threads ahead of their use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(calls: Iterable[Callable[[], T]], depth: int, threads: int = 1) -> Generator[T]:
    """The results of calls, in their order, made by threads of this process.

    Args:
        calls: started in their order; with several threads, in parallel.
        depth: number of calls that are started ahead of the one that is waited for.
        threads: number of threads.

    Raises:
        Exception: an exception of a call, when its turn comes.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
