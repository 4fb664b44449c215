"""`sdm_ray.show`: a frame in a notebook whose server answers."""

import re
from urllib.request import urlopen

import pytest

import sdm_ray
from sdm_ray.errors import InputError


def test_a_map_is_shown_in_a_frame_until_it_is_closed(run_folder):
    shown = sdm_ray.show(run_folder / "map.zarr", height=420)
    text = shown._repr_html_()
    address = re.search(r'src="(http://localhost:\d+/)"', text)[1]
    assert 'height="420"' in text and 'title="Map"' in text
    response = urlopen(address)
    assert b'<div id="map"' in response.read()
    assert "frame-ancestors 'self' http://localhost:*" in response.headers["Content-Security-Policy"]
    shown.close()
    with pytest.raises(OSError):
        urlopen(address, timeout=2)


def test_no_map_and_a_missing_one_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no map is given"):
        sdm_ray.show()
    with pytest.raises(InputError, match=r"map\.zarr: missing"):
        sdm_ray.show(tmp_path / "map.zarr")
