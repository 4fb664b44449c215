"""The server: byte ranges of what it shows, and nothing else of the machine."""

import http.client
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest
from helpers import shown_maps

from sdm_ray.errors import InputError
from sdm_ray.viewer.server import LOCAL, byte_range, inside, known_host, open_server
from sdm_ray.viewer.site import find

KEY = "stores/0/0/inputs/zarr.json"


@pytest.fixture
def ask(serve, run_folder):
    """Send a request as it stands, without what a client would tidy up."""
    port = serve(run_folder / "map.zarr").server_address[1]

    def send(path, method="GET", **headers):
        connection = http.client.HTTPConnection(LOCAL, port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        for name, value in ({"Host": f"localhost:{port}"} | headers).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    return send


def test_a_file_is_sent_whole_and_in_ranges(ask, run_folder):
    whole = (run_folder / "map.zarr" / "0" / "inputs" / "zarr.json").read_bytes()
    response, body = ask(f"/{KEY}")
    assert (response.status, body) == (200, whole)
    assert response.headers["Accept-Ranges"] == "bytes" and response.headers["Content-Type"] == "application/json"
    for asked, part in (("bytes=3-10", whole[3:11]), ("bytes=5-", whole[5:]), ("bytes=-7", whole[-7:])):
        response, body = ask(f"/{KEY}", Range=asked)
        assert (response.status, body) == (206, part)
    assert response.headers["Content-Range"] == f"bytes {len(whole) - 7}-{len(whole) - 1}/{len(whole)}"
    response, body = ask(f"/{KEY}", Range=f"bytes={len(whole)}-")
    assert (response.status, body) == (416, b"")
    response, body = ask(f"/{KEY}", "HEAD")
    assert (response.status, body, response.headers["Content-Length"]) == (200, b"", str(len(whole)))


def test_ranges_as_they_are_asked_for():
    assert byte_range(None, 10) is None
    assert byte_range("bytes=0-0", 10) == (0, 1)
    assert byte_range("bytes=2-99", 10) == (2, 10)
    assert byte_range("bytes=-99", 10) == (0, 10)
    for unknown in ("bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=4-2"):
        assert byte_range(unknown, 10) is None
    with pytest.raises(ValueError, match="byte 10 of 10"):
        byte_range("bytes=10-", 10)


@pytest.mark.parametrize(
    "path",
    [
        "/stores/0/../surveys.parquet",
        "/stores/0/%2e%2e/secret.txt",
        "/stores/0/..%2fsecret.txt",
        "/stores/0//etc/passwd",
        "/stores/0/%2fetc%2fpasswd",
        "/stores/0/0/../../secret.txt",
        "/../../../../etc/passwd",
        "/..%2f__init__.py",
        "//etc/passwd",
        "/server.py",
        "/stores/0/link.txt",
        "/stores/0/linked/secret.txt",
        "/stores/0/loop",
        "/stores/0/a%00b",
        "/stores/0/" + "a" * 5000,
        "/stores/0/0",
        "/stores/2/zarr.json",
        "/stores/-1/zarr.json",
    ],
)
def test_files_outside_the_folders_cannot_be_read(ask, run_folder, path):
    (run_folder / "secret.txt").write_text("secret")
    for name, target in (("link.txt", "../secret.txt"), ("linked", ".."), ("loop", "loop")):
        if not (run_folder / "map.zarr" / name).is_symlink():
            os.symlink(target, run_folder / "map.zarr" / name)
    response, body = ask(path)
    assert response.status in (403, 404)
    assert b"secret" not in body and b"root:" not in body


def test_a_link_inside_the_folder_and_a_folder_that_is_a_link_are_read(tmp_path):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "a.txt").write_text("a")
    os.symlink("a.txt", tmp_path / "map" / "b.txt")
    os.symlink("map", tmp_path / "other")
    assert inside(tmp_path / "map", "b.txt").read_text() == "a"
    assert inside(tmp_path / "other", "a.txt").read_text() == "a"
    assert inside(tmp_path / "map", "c.txt") is None


def test_pages_of_other_domains_are_refused(ask):
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "", "[", "localhost@evil.example"):
        response, body = ask(f"/{KEY}", Host=host)
        assert response.status == 403 and b"shape" not in body, host
    for host in ("localhost", "127.0.0.1:1", "[::1]:80", socket.gethostname()):
        assert known_host(host), host


def test_other_methods_and_paths_are_refused(ask):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(f"/{KEY}", method)[0].status == 501
    assert ask("/nothing.html")[0].status == 404
    response, _ = ask("/")
    assert response.status == 200 and response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_it_listens_on_this_machine_alone_and_a_taken_port_is_one_line(serve, run_folder):
    server = serve(run_folder / "map.zarr")
    assert server.server_address[0] == "127.0.0.1"
    taken = server.server_address[1]
    site = find([str(run_folder / "map.zarr")])
    with pytest.raises(InputError, match=rf"--host 127.0.0.1 --port {taken}: cannot be listened on \(.*in use\)"):
        open_server(site, port=taken)
    with pytest.raises(InputError, match=r"--host nowhere\.invalid --port 0: cannot be listened on"):
        open_server(site, host="nowhere.invalid", port=0)


def test_a_store_in_several_threads_is_sent_as_it_is(serve, tmp_path):
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    server = serve(tmp_path / "map.zarr")
    files = [file for file in (tmp_path / "map.zarr").rglob("*") if file.is_file()]
    urls = [f"{server.url}stores/0/{file.relative_to(tmp_path / 'map.zarr')}" for file in files]
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda url: urlopen(url).read(), urls * 3))
    assert sent == [file.read_bytes() for file in files] * 3
    assert server.traffic.requests == len(sent) and server.traffic.bytes == sum(map(len, sent))


def test_a_damaged_land_store_leaves_the_map_without_borders(serve, tmp_path, capsys):
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    (tmp_path / "land.zarr").mkdir()
    (tmp_path / "land.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    server = serve(tmp_path / "map.zarr")
    assert json.loads(urlopen(f"{server.url}borders.geojson").read())["features"] == []
    assert "view: no coastlines and borders: " in capsys.readouterr().out
