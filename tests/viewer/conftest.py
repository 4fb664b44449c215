"""Maps to show, a server of them, and the Chromium of the machine."""

import shutil
from pathlib import Path

import pytest
from helpers import shown_maps

from sdm_ray.viewer.server import open_server
from sdm_ray.viewer.site import find

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A run folder with a map, its indicators and its land store."""
    folder = tmp_path_factory.mktemp("shown") / "run"
    values = shown_maps.write_map(folder / "map.zarr")
    shown_maps.write_countries(folder / "land.zarr")
    shown_maps.write_indicators(folder / "indicators.zarr", folder / "map.zarr", values.sum(axis=0))
    return folder


@pytest.fixture
def serve():
    """Serves maps, each time on a port of its own."""
    servers = []

    def start(*places: Path):
        server = open_server(find([str(place) for place in places]), port=0)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: Debian's package `chromium` has one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """An empty page; what it asks for, and what goes wrong in its scripts, is collected."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.asked, opened.wrong = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    yield opened
    context.close()
