"""`sdm-ray view` as a user meets it."""

import re
import signal
import subprocess
import sys
from functools import partial
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from sdm_ray.cli import app
from sdm_ray.viewer import command

SCRIPT = "from sdm_ray.cli import main; main()"


def test_it_serves_until_it_is_interrupted(run_folder):
    words = [sys.executable, "-c", SCRIPT, "view", str(run_folder / "map.zarr"), "--port", "0"]
    # Of what a shell starts in the background, as it may these tests, interrupts are ignored
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    served = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=heard)
    line = served.stdout.readline()
    address = re.match(r"view: (http://localhost:\d+/) shows map\.zarr; Ctrl-C ends it", line)[1]
    assert urlopen(f"{address}viewer.json").status == 200
    served.send_signal(signal.SIGINT)
    assert served.wait(90) == 0 and served.stdout.read() == "view: ended\n"


def test_the_browser_is_opened_where_it_is_asked_for(run_folder, monkeypatch):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    monkeypatch.setattr("sdm_ray.viewer.server.Server.serve_forever", lambda self: None)
    for flags in ([], ["--open"]):
        result = CliRunner().invoke(app, ["view", str(run_folder / "map.zarr"), "--port", "0", *flags])
        assert result.exit_code == 0, result.output
    assert len(opened) == 1 and opened[0].startswith("http://localhost:")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nothing.zarr"], "nothing.zarr: missing; run the job that writes it first"),
        (["s3://bucket/map.zarr"], "s3://bucket/map.zarr: a browser reads no s3://"),
    ],
)
def test_a_mistake_is_one_line(words, expected):
    result = CliRunner().invoke(app, ["view", *words])
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.exit_code == 2 and len(lines) == 1 and expected in lines[0]


def test_the_page_is_written(run_folder, tmp_path):
    result = CliRunner().invoke(app, ["view", str(run_folder / "map.zarr"), "--static", str(tmp_path / "page")])
    assert result.exit_code == 0 and (tmp_path / "page" / "viewer.js").exists()
    assert "serve both with byte ranges" in result.output
