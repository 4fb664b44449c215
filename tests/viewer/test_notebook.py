"""`sdm_ray.show`: a frame in a notebook whose server answers."""

import functools
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import nbformat
import pytest
from nbclient import NotebookClient

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


def test_a_kernel_of_jupyter_shows_a_page_that_answers_and_draws(run_folder, tmp_path, page):
    """As in a notebook: the cell's output in a page of another port, the server in the kernel's process."""
    source = f"import sdm_ray\nshown = sdm_ray.show({str(run_folder / 'map.zarr')!r}, height=500)\nshown"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    with client.setup_kernel():
        (output,) = client.execute_cell(notebook.cells[0], 0).outputs
        assert output.output_type == "execute_result" and set(output.data) == {"text/html", "text/plain"}
        html = output.data["text/html"]
        address = re.search(r'<iframe src="(http://localhost:\d+/)"', html)[1]
        assert b'<div id="map"' in urlopen(address).read()
        (tmp_path / "index.html").write_text(f"<!doctype html><title>Notebook</title>{html}")
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page.goto(f"http://localhost:{server.server_address[1]}/")
            frame = page.frame_locator("iframe")
            frame.locator("body[data-ready=true]").wait_for(timeout=30_000)
            assert frame.get_by_role("combobox", name="Species").is_visible() and page.wrong == []
            server.shutdown()
    with pytest.raises(OSError):  # the kernel took its server along
        urlopen(address, timeout=2)
