"""The page's script is what its sources give, with exact versions and the licences of all that it holds."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sdm_ray.viewer.site import PAGE

WEB = Path(PAGE).parent / "web"


def test_versions_are_exact():
    about = json.loads((WEB / "package.json").read_text())
    for group in ("dependencies", "devDependencies", "overrides"):
        assert all(re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", version) for version in about[group].values())
    assert not list(WEB.glob("*lock*"))


def test_every_part_has_its_licence():
    about = json.loads((WEB / "package.json").read_text())
    texts = (PAGE / "LICENSES.txt").read_text()
    for name, version in about["dependencies"].items():
        assert f"{name} {version} (" in texts
    assert re.findall(r"^(\S+) \S+ \(undefined\)$", texts, re.M) == []
    assert "For Zstandard software" in texts  # inside zstddec


def test_it_is_built_again_to_the_same_bytes(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    web = tmp_path / "viewer" / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "viewer" / "page").mkdir()
    install = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        found = subprocess.run(install, cwd=web, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("no answer of a registry of npm packages")
    if found.returncode and re.search(r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|E401|E403", found.stderr):
        pytest.skip(f"no registry of npm packages: {found.stderr.splitlines()[0]}")
    assert found.returncode == 0, found.stderr
    subprocess.run(["node", "build.mjs"], cwd=web, check=True, capture_output=True, timeout=120)
    built = {file.name for file in (tmp_path / "viewer" / "page").iterdir()}
    assert built == {file.name for file in PAGE.iterdir()} - {"index.html", "viewer.css"}
    for name in built:
        same = (tmp_path / "viewer" / "page" / name).read_bytes() == (PAGE / name).read_bytes()
        assert same, f"{name} is not what its sources give: npm install and node build.mjs in {WEB}"
