"""Take a picture of the page of `sdm-ray view` over a map, in Chromium.

Usage: python docs/figures/viewer_page.py MAP SPECIES PICTURE

Opens the page on the species around central Europe and reads the cell in the middle.
"""

import io
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import sync_playwright

from sdm_ray.viewer.server import open_server
from sdm_ray.viewer.site import find

SIZE = {"width": 1160, "height": 680}
VIEW = {"x": 4_250_000, "y": 2_900_000, "resolution": 2600, "cell": "4321500 2750500"}


def take(place: str, species: str, picture: Path) -> None:
    """Write the picture as a PNG of 140 colours."""
    server = open_server(find([place]), port=0)
    server.start()
    link = urlencode(VIEW | {"map": Path(place).name, "layer": "probability", "at.species": species})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        with page.expect_response("**/borders.geojson", timeout=60_000):
            page.goto(f"{server.url}#{link}")
        page.wait_for_selector("body[data-ready=true]")
        page.wait_for_selector("#cell table")
        page.locator("#panel").evaluate("panel => panel.scrollTo(0, 150)")
        page.wait_for_timeout(2000)  # the last tiles
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    taken.quantize(140, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    take(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
