"""Connecting to Ray: where it cannot be, one line says so."""

import subprocess
import sys

import pytest

from sdm_ray import ray_runtime
from sdm_ray.errors import InputError


def test_a_long_path_for_temporary_files_is_replaced_by_a_short_one(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(ray_runtime.tempfile, "tempdir", "/tmp")
    assert ray_runtime._session_folder() is None
    monkeypatch.setattr(ray_runtime.tempfile, "tempdir", "/tmp/" + "a" * 90)
    assert ray_runtime._session_folder() == "/tmp/ray"
    monkeypatch.setattr(ray_runtime.os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"TMPDIR: /tmp/a+ is too long a path for Ray's sockets"):
        ray_runtime._session_folder()


def test_an_address_that_cannot_be_joined_is_one_line(tmp_path):
    code = (
        "from sdm_ray import ray_runtime\n"
        "from sdm_ray.errors import InputError\n"
        "ray_runtime._PAUSE_S = 0\n"
        "try:\n"
        "    ray_runtime.connect()\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    environment = {"RAY_ADDRESS": "no-such-machine", "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (line,) = found.stdout.splitlines()
    assert line.startswith("RAY_ADDRESS: no cluster at no-such-machine, tried 2 times (")


def test_a_job_on_this_machine_joins_no_cluster_that_others_started_there(monkeypatch):
    import ray

    asked = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **settings: asked.append(settings))
    ray_runtime.connect()
    assert asked[0]["address"] == "local"
