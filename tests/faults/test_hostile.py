"""The short form of `hostile.py`: some damaged inputs for each reader, the same each time."""

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from faults import hostile
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.jobs import JOBS
from sdm_ray.readers.safe_zip import escapes, open_zip
from sdm_ray.readers.tables import read_table
from sdm_ray.sources.base import FolderFiles
from sdm_ray.streams import image_dataset

CASES = 12


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    os.environ.setdefault("SDM_RAY_DATA", "/data")  # named in configurations, which are read and not followed
    return hostile.targets(tmp_path_factory.mktemp("made"))


def test_readers_tell_in_one_line_what_is_wrong_with_what_is_damaged(targets, tmp_path):
    wrong = {}
    for name, target in targets.items():
        found = [hostile.attack(target, 1000 + seed, tmp_path) for seed in range(CASES)]
        wrong[name] = [each for each in found if each]
    assert wrong == {name: [] for name in targets}


def test_the_configuration_of_every_job_is_a_target(targets):
    configurations = {name.removesuffix(".yaml").partition("-")[0] for name in targets if name.endswith(".yaml")}
    assert configurations == set(JOBS)


def test_every_target_can_be_read_as_it_is(targets):
    for target in targets.values():
        target.read(target.place)


def test_a_traceback_or_a_hang_would_be_seen(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir(), (tmp_path / "out").mkdir()
    file = tmp_path / "in" / "some.json"
    file.write_text(json.dumps({"a": 1}))

    def broken(place):
        raise KeyError("a")

    def endless(place):
        while True:
            pass

    monkeypatch.setattr(hostile, "LIMIT_S", 1)
    assert "KeyError" in hostile.attack(hostile.Target(file, broken), 1, tmp_path / "out")
    assert "TimeoutError" in hostile.attack(hostile.Target(file, endless), 1, tmp_path / "out")


def test_zips_that_lead_outside_or_inflate_without_end_are_refused(tmp_path):
    table = "lon,lat\n8,47\n"
    for number, name in enumerate(["../table.csv", "/etc/table.csv", "a/../../table.csv", "C:\\table.csv"]):
        place = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr(name, table)
        with pytest.raises(InputError, match="leads outside of the archive"):
            read_table(str(place), ["lon"])
    place = tmp_path / "bomb.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", table)
    content = bytearray(place.read_bytes())
    at = content.index(b"PK\x01\x02")  # the size that the directory states
    content[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
    place.write_bytes(content)
    with pytest.raises(InputError, match=r"inflates from \d+ to 3,221,225,472 bytes"), open_zip(UPath(place)):
        pass


def test_names_of_files_do_not_lead_out_of_their_folder(tmp_path):
    assert escapes("../a") and escapes("/a") and escapes("a\\..\\..\\b") and escapes("D:/a")
    assert not escapes("a/b..jpg") and not escapes("Ångström/ä b.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret.txt").write_text("s")
    with FolderFiles(str(tmp_path / "photos")).opened() as read, pytest.raises(ValueError, match="leads outside"):
        read("../secret.txt")


def test_images_and_arrays_of_absurd_size_are_refused_before_memory_is_asked_for(monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (4, 1 << 20, 1 << 20)}
    )
    with pytest.raises(ValueError, match="an array of shape"):
        image_dataset._array(header.getvalue() + b"\0" * 64)
    from PIL import Image

    monkeypatch.setattr(image_dataset, "_MOST_PIXELS", 100)
    for form in ("JPEG", "PNG"):
        file = io.BytesIO()
        Image.new("RGB", (20, 20)).save(file, form)
        with pytest.raises(OSError, match="20 x 20 pixels, expected 100 at most"):
            image_dataset._pixels(file.getvalue(), 8)


def test_the_long_form_runs():
    command = [sys.executable, hostile.__file__, "--cases", "3", "--only", "table.csv"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "table.csv: 3 cases, 0 not told in one line" in done.stdout, done.stderr
