"""What cannot be read is tried again, each time after a longer pause."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often an action is tried again, and after how long.

    Attributes:
        retries: how often after the first time.
        backoff_s: pause before the first of these, seconds; each further one is twice as long.
    """

    retries: int
    backoff_s: float

    def call(self, action: Callable[[], Result], transient: Callable[[BaseException], bool]) -> Result:
        """The result of an action.

        Args:
            action: what may fail.
            transient: which errors may be gone at the next try; others are raised at once.

        Raises:
            BaseException: of the last try.
        """
        trying = Retrying(
            stop=stop_after_attempt(self.retries + 1),
            wait=wait_exponential(multiplier=self.backoff_s),
            retry=retry_if_exception(transient),
            reraise=True,
        )
        return trying(action)
