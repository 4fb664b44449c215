"""What a person does on the page: wait for it, read its tables, and see its colours."""

import io
import time

import numpy as np
from PIL import Image
from playwright.sync_api import Page


def opened(page: Page, url: str, state: str = "true") -> None:
    """Open the page and wait until it has drawn, or failed to."""
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_selector(f"body[data-ready={state}]", timeout=30_000)


def rows(page: Page, where: str) -> dict[str, str]:
    """Rows of the tables in a part of the page: first cell -> second."""
    found = page.locator(f"{where} tbody tr").evaluate_all(
        "each => each.map(row => [...row.children].map(c => c.innerText))"
    )
    return {row[0]: row[1] for row in found}


def full_values(page: Page, where: str) -> dict[str, float]:
    """Rows of the tables in a part of the page: first cell -> second, unrounded."""
    script = "each => each.map(row => [row.children[0].innerText, row.children[1].dataset.value])"
    return {name: float(value) for name, value in page.locator(f"{where} tbody tr").evaluate_all(script) if value}


def picture(page: Page) -> np.ndarray:
    """The map as it looks, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB"), int)


def settled(page: Page) -> np.ndarray:
    """The map once two looks at it are the same."""
    before = picture(page)
    for _ in range(40):
        time.sleep(0.15)
        now = picture(page)
        if np.array_equal(before, now):
            return now
        before = now
    raise AssertionError("the map goes on changing")


def choose(page: Page, species: str) -> None:
    """Search for a species and take the first suggestion."""
    field = page.get_by_role("combobox", name="Species")
    field.fill(species)
    field.press("Enter")


def click(page: Page, x: float, y: float, grid_x: float, grid_y: float, resolution: float) -> None:
    """Click a place in metres, where the middle of the map, its coordinates and metres a pixel are known."""
    box = page.locator("#map").bounding_box()
    page.mouse.click(
        box["x"] + box["width"] / 2 + (grid_x - x) / resolution,
        box["y"] + box["height"] / 2 - (grid_y - y) / resolution,
    )
