"""The notebook of the documentation: stored as it was executed, and executed again in small."""

import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from sdm_ray import jobs

FILE = jobs.shipped_configs().parent / "docs" / "notebook.ipynb"
SMALLER = {
    "virtual.cells=48": "virtual.cells=16",
    "virtual.species=6": "virtual.species=2",
    "surveys: 600": "surveys: 120",
    "size_m: 8000": "size_m: 4000",
    "optim.epochs=15": "optim.epochs=1",
}


@pytest.fixture
def stored():
    return nbformat.read(FILE, 4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook):
    return [[output.output_type for output in cell.outputs] for cell in code(notebook)]


def test_it_has_ten_cells_and_is_stored_as_executed_from_top_to_bottom(stored):
    assert len(stored.cells) == 10
    assert [cell.execution_count for cell in code(stored)] == list(range(1, len(code(stored)) + 1))
    written = FILE.read_text()
    assert len(written) < 100_000
    assert not any(place in written for place in (tempfile.gettempdir(), str(Path.home()), str(FILE.parents[1])))


def test_its_cells_run_in_small_and_give_the_same_kinds_of_output(stored):
    expected = kinds(stored)
    for cell in code(stored):
        cell.outputs = []
        for full, small in SMALLER.items():
            cell.source = cell.source.replace(full, small)
    assert sum(small in cell.source for cell in code(stored) for small in SMALLER.values()) == len(SMALLER)
    NotebookClient(stored, timeout=300, kernel_name="python3").execute()
    assert kinds(stored) == expected
