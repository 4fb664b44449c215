"""The version of the package, known as well where it is not installed, as in a submitted working folder."""

__version__ = "0.2.0"
