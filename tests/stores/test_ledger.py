"""The ledger of a map."""

import subprocess
import sys

import pytest
from helpers.object_store import bucket
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.ledger import Ledger

__all__ = ["bucket"]


@pytest.mark.parametrize("place", ["local", "memory"])
def test_finished_tiles_are_known_with_their_figures(tmp_path, place):
    path = UPath(tmp_path) / "map.zarr" if place == "local" else UPath("memory://ledgers/map.zarr")
    ledger = Ledger(path, "one")
    assert ledger.done() == {}
    ledger.add("E1N1", {"cells": 3, "sums": [0.5, 1.25]})
    ledger.add("E2N1", {"cells": 0})
    ledger.add("E1N1", {"cells": 4})
    assert Ledger(path, "one").done() == {"E1N1": {"cells": 4}, "E2N1": {"cells": 0}}


def test_a_store_that_does_not_show_every_record_is_not_taken_for_whole(tmp_path):
    ledger = Ledger(UPath(tmp_path), "one")
    ledger.add("E1N1", {"cells": 3})
    ledger.add("E2N1", {"cells": 2})
    assert list(ledger.all(["E2N1", "E1N1"])) == ["E2N1", "E1N1"]
    with pytest.raises(InputError, match=r"shows records of 2 of 3 finished tiles, none of E3N1; run the job again"):
        ledger.all(["E1N1", "E2N1", "E3N1"])


def test_figures_are_summed_record_by_record(tmp_path):
    ledger = Ledger(UPath(tmp_path), "one")
    ledger.add("E1N1", {"cells": 3, "outside": 1, "sums": [0.5, 1.25]})
    ledger.add("E2N1", {"cells": 2, "sums": [1.0, 2.0]})
    ledger.add("E3N1", {"cells": 100, "sums": [9.0, 9.0]})
    sums, count = ledger.totals(["E2N1", "E1N1"])
    assert count == 2 and sums.keys() == {"cells", "sums"} and sums["cells"] == 5  # no figure of a part of the tiles
    assert sums["sums"].tolist() == [1.5, 3.25]
    assert ledger.finished() == {"E1N1", "E2N1", "E3N1"}
    with pytest.raises(InputError, match=r"shows records of 1 of 2 finished tiles, none of E4N1; run the job again"):
        ledger.totals(["E1N1", "E4N1"])


def test_what_another_process_writes_to_an_object_store_is_seen(bucket):
    """A resumed map listed the ledger before its workers wrote, and was sealed with figures of a part of its tiles."""
    ledger = Ledger(UPath(bucket) / "ledgers" / "map.zarr", "one")
    ledger.add("E1N1", {"cells": 1})
    assert list(ledger.done()) == ["E1N1"]
    assert not (ledger.folder / "E2N1.json").exists()
    code = "from upath import UPath; from sdm_ray.stores.ledger import Ledger; import sys\n"
    code += "Ledger(UPath(sys.argv[1]), 'one').add('E2N1', {'cells': 2})"
    subprocess.run([sys.executable, "-c", code, str(ledger.folder.parent)], check=True)
    assert (ledger.folder / "E2N1.json").exists()
    assert ledger.all(["E1N1", "E2N1"]) == {"E1N1": {"cells": 1}, "E2N1": {"cells": 2}}


def test_a_record_that_was_not_moved_into_place_does_not_count(tmp_path):
    ledger = Ledger(UPath(tmp_path), "one")
    (ledger.folder / "E1N1.tmp").write_text('{"tile": "E1')
    assert ledger.done() == {}
    ledger.add("E1N1", {})
    assert list(ledger.done()) == ["E1N1"]


def test_another_map_is_refused_naming_both(tmp_path):
    Ledger(UPath(tmp_path), "one").add("E1N1", {})
    with pytest.raises(InputError, match=r"E1N1\.json: belongs to a map of fingerprint one, expected two"):
        Ledger(UPath(tmp_path), "two").done()


@pytest.mark.parametrize("text", ["", "[]", '{"tile": "E1N1"}'])
def test_a_spoilt_record_is_named(tmp_path, text):
    ledger = Ledger(UPath(tmp_path), "one")
    (ledger.folder / "E1N1.json").write_text(text)
    with pytest.raises(InputError, match=r"E1N1\.json: is no record of a tile; remove it"):
        ledger.done()
