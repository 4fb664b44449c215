"""The planted landscape, once for all tests of the room."""

import pytest
from helpers.landscape import plant
from upath import UPath


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory) -> UPath:
    folder = UPath(tmp_path_factory.mktemp("run"))
    plant(folder)
    return folder
