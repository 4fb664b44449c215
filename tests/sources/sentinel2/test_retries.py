"""What cannot be read is tried again."""

import pytest

from sdm_ray.sources.sentinel2.retries import RetryPolicy


def failing(error: Exception, times: int):
    """An action that fails some times, and the list of its tries."""
    tries = []

    def action() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise error
        return "read"

    return action, tries


def is_os_error(error: BaseException) -> bool:
    return isinstance(error, OSError)


def test_tries_end_with_the_last_error():
    action, tries = failing(OSError("gone"), 9)
    with pytest.raises(OSError, match="gone"):
        RetryPolicy(retries=2, backoff_s=0).call(action, is_os_error)
    assert len(tries) == 3


def test_pauses_double_and_what_is_read_is_returned(monkeypatch):
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    action, tries = failing(OSError("busy"), 3)
    assert RetryPolicy(retries=3, backoff_s=0.5).call(action, is_os_error) == "read"
    assert pauses == [0.5, 1.0, 2.0] and len(tries) == 4


def test_what_will_not_pass_is_raised_at_once():
    action, tries = failing(ValueError("no number"), 1)
    with pytest.raises(ValueError, match="no number"):
        RetryPolicy(retries=5, backoff_s=0).call(action, is_os_error)
    assert len(tries) == 1
