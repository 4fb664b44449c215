"""Files fetched from a server on this machine."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.sources.download import ensure
from sdm_ray.sources.entry import Download

CONTENT = b"x,y,country,species\n" * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "table.csv").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(address: str, name: str = "table.csv", content: bytes = CONTENT) -> Download:
    return Download(url=f"{address}/{name}", sha256=hashlib.sha256(content).hexdigest())


def test_a_missing_file_is_fetched_whole_and_only_once(address, tmp_path):
    place = UPath(tmp_path) / "new" / "table.csv"
    ensure(place, download(address), "surveys: table")
    assert place.read_bytes() == CONTENT
    ensure(place, download("http://127.0.0.1:9"), "surveys: table")  # would not answer
    assert [each.name for each in place.parent.iterdir()] == ["table.csv"]


def test_a_wrong_checksum_leaves_nothing(address, tmp_path):
    place = UPath(tmp_path) / "table.csv"
    with pytest.raises(InputError, match=r"surveys: table: http.*table\.csv .*expected sha256:.* but got \w{64}$"):
        ensure(place, download(address, content=b"other"), "surveys: table")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["absent.csv", None])
def test_an_address_that_gives_nothing_is_one_line(address, tmp_path, name):
    source = download(address, name) if name else download("http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be downloaded"):
        ensure(UPath(tmp_path) / "table.csv", source, "surveys: table")
    assert list(tmp_path.iterdir()) == []


def test_files_in_buckets_are_downloaded_and_written(tmp_path):
    source = UPath("memory://published/table.csv")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(CONTENT)
    place = UPath("memory://mine/new/table.csv")
    ensure(place, download("memory://published"), "surveys: table")
    assert place.read_bytes() == CONTENT
    ensure(UPath(tmp_path) / "table.csv", download("memory://published"), "surveys: table")
    assert (tmp_path / "table.csv").read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"memory://published/absent\.csv cannot be downloaded"):
        ensure(UPath(tmp_path) / "absent.csv", download("memory://published", "absent.csv"), "surveys: table")


def test_a_missing_file_without_an_address_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv: no such file \(land: countries\)"):
        ensure(UPath(tmp_path) / "absent.csv", None, "land: countries")
