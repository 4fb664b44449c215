"""What a page shows: which stores are found, what is refused in one line, and the page as files."""

import contextlib
import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest
from helpers import shown_maps, viewer_page
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores import artefact, icechunk_repository
from sdm_ray.viewer.site import PAGE, find, write_static


def test_indicators_and_land_of_the_run_belong_to_the_map(run_folder):
    site = find([str(run_folder / "map.zarr")])
    assert site.config() == {
        "maps": [
            {
                "label": "map.zarr",
                "url": "stores/0/",
                "companions": [{"label": "indicators.zarr", "url": "stores/1/"}],
            }
        ],
        "borders": "borders.geojson",
    }
    assert site.folders == (run_folder / "map.zarr", run_folder / "indicators.zarr")
    assert site.land == run_folder / "land.zarr"


def test_indicators_of_another_map_do_not_belong_to_it(run_folder, tmp_path):
    shutil.copytree(run_folder / "indicators.zarr", tmp_path / "indicators.zarr")
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "artefact.json").write_text("{")
    site = find([str(tmp_path / "map.zarr")])
    assert site.maps[0].companions == () and site.land is None
    assert site.config()["borders"] is None


def test_maps_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for year in ("2020", "2050"):
        shown_maps.write_map(tmp_path / year / "map.zarr", levels=0)
    site = find([str(tmp_path / year / "map.zarr") for year in ("2020", "2050")])
    assert [each.label for each in site.maps] == ["2020/map.zarr", "2050/map.zarr"]
    same = find([str(tmp_path / "2020" / "map.zarr")] * 2)
    assert len({each.label for each in same.maps}) == 2


def test_what_cannot_be_shown_is_one_line(run_folder, tmp_path):
    with pytest.raises(InputError, match=r"none\.zarr: missing; run the job that writes it first"):
        find([str(tmp_path / "none.zarr")])
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    (tmp_path / "map.zarr" / "artefact.json").unlink()
    with pytest.raises(InputError, match=r"map\.zarr: unfinished \(no artefact\.json\)"):
        find([str(tmp_path / "map.zarr")])
    (tmp_path / "model").mkdir()
    artefact.seal(UPath(tmp_path / "model"), artefact.Record(kind="model", fingerprint="one"))
    with pytest.raises(InputError, match=r"model: has the kind model and no zarr\.json; expected a map or indicators"):
        find([str(tmp_path / "model")])
    with pytest.raises(InputError, match=r"s3://bucket/map\.zarr: a browser reads no s3://; give the bucket's https"):
        find(["s3://bucket/map.zarr"])
    icechunk_repository._write(
        UPath(tmp_path / "model"), icechunk_repository.Pointer(repository="r", branch=None, version="v")
    )
    with pytest.raises(InputError, match="is kept in an Icechunk repository, which a browser cannot read"):
        find([str(tmp_path / "model")])


def test_a_public_address_is_read_from_where_it_is_and_nothing_else(tmp_path):
    site = find(["https://bucket.example/europe/map.zarr"])
    assert site.config()["maps"][0]["url"] == "https://bucket.example/europe/map.zarr/"
    assert "connect-src 'self' data: https://bucket.example;" in site.security_policy()
    write_static(site, tmp_path / "page")
    assert "https://bucket.example" in (tmp_path / "page" / "index.html").read_text()


def test_the_written_page_works_on_any_web_server_with_ranges(run_folder, page):
    folder = run_folder / "page"
    write_static(find([str(run_folder / "map.zarr")]), folder)
    assert {file.name for file in PAGE.iterdir()} <= {file.name for file in folder.iterdir()}
    config = json.loads((folder / "viewer.json").read_text())
    assert config["maps"][0]["url"] == "../map.zarr/" and config["borders"] == "borders.geojson"
    handler = functools.partial(_Ranges, directory=str(run_folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        viewer_page.opened(page, f"http://127.0.0.1:{server.server_address[1]}/page/")
        viewer_page.choose(page, "Quercus robur")
        page.wait_for_selector("body[data-shown='Quercus robur']")
        page.locator("#map").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#cell table")
        server.shutdown()
    assert page.wrong == []


def test_a_page_reads_a_map_at_a_public_address_of_another_server(run_folder, tmp_path, page):
    """As a bucket with CORS gives it away: ranges from the end of a file are asked for in advance (OPTIONS)."""
    with _serving(_Bucket, run_folder) as bucket, _serving(_Ranges, tmp_path) as site:
        write_static(find([f"{bucket}/map.zarr"]), tmp_path)
        viewer_page.opened(page, f"{site}/index.html")
        page.locator("#map").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#cell table")
    asked = {url.rsplit("/", url.count("/") - 2)[0] for url in page.asked if url.startswith("http")}
    assert asked == {bucket, site} and page.wrong == []


def test_a_server_that_does_not_allow_the_page_is_one_sentence(run_folder, tmp_path, page):
    with _serving(_Ranges, run_folder) as bucket, _serving(_Ranges, tmp_path) as site:
        write_static(find([f"{bucket}/map.zarr"]), tmp_path)
        viewer_page.opened(page, f"{site}/index.html", "failed")
    sentence = "no answer from its server, or it does not let pages of other servers read it (CORS)."
    assert page.locator("#status").inner_text() == f"map.zarr (/map.zarr/) cannot be read: {sentence}"


@contextlib.contextmanager
def _serving(kind, folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Python's own file server with single byte ranges, as any bucket has them."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = self.headers.get("Range", "")
        place = Path(self.translate_path(self.path))
        if not asked or not place.is_file():
            return super().do_GET()
        content = place.read_bytes()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1] if first else content[-int(last) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


class _Bucket(_Ranges):
    """Lets pages of all origins read it, with the header `Range`."""

    def do_OPTIONS(self):
        self.send_response(204)
        self.end_headers()

    def end_headers(self):
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Range")
        super().end_headers()


def test_a_place_that_cannot_be_written_is_one_line(run_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/page: cannot be written \(Not a directory\)"):
        write_static(find([str(run_folder / "map.zarr")]), tmp_path / "file" / "page")
