"""The one exception that is the user's to mend."""


class InputError(Exception):
    """Something given to sdm_ray cannot be used.

    The message is one line that names the file, the key or row, what was found and what was expected.
    The command line prints it without a traceback and exits with status 2.
    """
