"""Which errors are told in one line."""

from botocore.exceptions import NoCredentialsError

from sdm_ray.errors import InputError, find_input_error, store_error


class Wrapped(Exception):
    """As Ray wraps errors of workers."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


def test_an_error_is_found_in_what_wraps_it():
    mistake = InputError("a file is missing")
    assert find_input_error(Wrapped(Wrapped(mistake))) is mistake
    assert find_input_error(Wrapped(ValueError())) is None and find_input_error(None) is None


def test_a_store_that_cannot_be_used_is_one_line():
    found = store_error(Wrapped(NoCredentialsError()))
    assert found is not None and found.startswith("a store cannot be used (Unable to locate credentials); ")
    found = store_error(PermissionError(13, "Access Denied\nfor you"))
    assert found is not None and "Access Denied for you" in found and "\n" not in found


def test_other_errors_keep_their_traceback():
    assert store_error(ValueError("botocore")) is None and store_error(None) is None


def test_a_password_in_an_address_is_not_told():
    found = store_error(Wrapped(PermissionError("https://me:hidden@example.org/x")))
    assert found is not None and "hidden" not in found
