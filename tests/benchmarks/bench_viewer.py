"""How fast a map is looked at: the page in Chromium, and what the chunk shape of a map costs.

    python tests/benchmarks/bench_viewer.py --map MAP [--quick] [--titiler PYTHON] [--only page|titiler|chunks]

A person's way through the page over a map of EU land at 1 km: it opens, a species is chosen, the view zooms in three
times, moves, quality is shown, cells are clicked, two species are compared. Of each step the requests and bytes are
counted by the server and compared with the bytes of one whole layer of level 0, which a page without a pyramid would
read, and, where a Python that has `titiler.xarray` is named, with titiler, which cuts pictures out of the same map.
Then parts of the map are written in chunks of other shapes, and one species of a tile and all species of a cell are
read.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import titiler_views
import viewer_layouts
from playwright.sync_api import Page, sync_playwright
from upath import UPath

from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.maps import Map
from sdm_ray.viewer.server import Server, open_server
from sdm_ray.viewer.site import find

FIRST_GOAL_S, MEMORY_GOAL_MB, SHARE_GOAL = 2.0, 500.0, 0.25
ROUNDS = 3
Figures = list[dict[str, object]]


@dataclass(frozen=True)
class Step:
    """What one step of a person cost.

    Attributes:
        name: what was done.
        seconds: until nothing was asked for any more.
        requests: to the server.
        kilobytes: sent by it.
    """

    name: str
    seconds: float
    requests: int
    kilobytes: float


def page_figures(path: UPath, rounds: int) -> Figures:
    """The page over a map."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("page: no Chromium on this machine, not measured")
        return []
    firsts, drawn, memory, steps = [], [], 0.0, []
    with sync_playwright() as playwright:
        for _ in range(rounds):
            server = open_server(find([str(path)]), port=0)
            server.start()
            before = {each.pid for each in psutil.Process().children(recursive=True)}
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1600, "height": 900})
            steps = tour(page, server, path)
            firsts.append(marked(page, "first tile"))
            drawn.append(marked(page, "drawn"))
            after = [each for each in psutil.Process().children(recursive=True) if each.pid not in before]
            renderers = [each for each in after if "--type=renderer" in each.cmdline()]
            memory = max(memory, sum(each.memory_full_info().pss for each in renderers) / 1e6)
            browser.close()
            server.shutdown()
            server.server_close()
    whole = whole_layer(path)
    times = (
        f"first tile after {min(firsts):.2f} to {max(firsts):.2f} s, whole view {min(drawn):.2f} to {max(drawn):.2f} s"
    )
    print(f"page over {len(Map(path).species)} species, {times}, {memory:.0f} MB")
    for step in steps:
        print(f"  {step.name:32} {step.seconds:6.2f} s {step.requests:5} requests {step.kilobytes:9.0f} kB")
    whole_read = f"{whole.seconds:6.2f} s {whole.requests:5} chunks   {whole.kilobytes:9.0f} kB"
    print(f"  {'one whole layer of level 0':32} {whole_read}")
    first = sorted(firsts)[len(firsts) // 2]
    share = max(step.kilobytes for step in steps) / whole.kilobytes
    return [
        figure("first tile after the page's load", first, "s", FIRST_GOAL_S, first < FIRST_GOAL_S),
        figure("memory of the page, PSS", memory, "MB", MEMORY_GOAL_MB, memory < MEMORY_GOAL_MB),
        figure("bytes of the dearest view, of those of a whole layer", share, "ratio", SHARE_GOAL, share < SHARE_GOAL),
    ]


def print_titiler(path: UPath, python: str, rounds: int) -> None:
    """The views that titiler has, in a server of its own each round."""
    every = [titiler_views.views(python, path) for _ in range(rounds)]
    print("titiler, level of the pyramid chosen by zoom, medians of the rounds")
    for views in zip(*every, strict=True):
        one = views[0]
        first, whole = (statistics.median(getattr(each, name) for each in views) for name in ("first_s", "seconds"))
        print(f"  {one.name:32} {whole:6.2f} s {one.requests:5} requests {one.kilobytes:9.0f} kB, first {first:.2f} s")


def marked(page: Page, name: str) -> float:
    """Seconds from the beginning of the page's load to a mark of its script."""
    return page.evaluate(f"performance.getEntriesByName('{name}')[0].startTime") / 1000


def tour(page: Page, server: Server, path: UPath) -> list[Step]:
    """A person's way through the page."""
    species = Map(path).species["name"].tolist()
    steps: list[Step] = []

    def step(name: str, act: Callable[[], object]) -> None:
        before, start = (server.traffic.requests, server.traffic.bytes), time.perf_counter()
        act()
        quiet = settled(server)
        requests, sent = server.traffic.requests - before[0], server.traffic.bytes - before[1]
        steps.append(Step(name, quiet - start, requests, sent / 1e3))

    step("opened", lambda: (page.goto(server.url), page.wait_for_selector("body[data-ready=true]", timeout=60_000)))
    step("another species", lambda: choose(page, species[len(species) // 2]))
    for number in range(1, 4):
        step(f"zoomed in, {number}", page.locator(".ol-zoom-in").click)
    step("moved", lambda: move(page))
    step("a cell clicked", lambda: click(page, 0))
    step("a cell next to it", lambda: click(page, 4))
    quality = page.get_by_label("Pale where quality is low")
    step("quality shown", lambda: quality.select_option("survey_distance"))
    step("whole map", page.get_by_role("button", name="Whole map").click)
    step("compared", page.get_by_role("button", name="Compare with another").click)
    return steps


def choose(page: Page, name: str) -> None:
    """Search for a species."""
    field = page.get_by_role("combobox", name="Species")
    field.fill(name)
    field.press("Enter")
    page.wait_for_selector(f"body[data-shown='{name}']")


def move(page: Page) -> None:
    """Half a screen to the west, by keyboard."""
    page.locator("#map").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(200)  # each moves on when the one before has ended


def click(page: Page, shift: int) -> None:
    """The middle of the map, or some pixels to the east."""
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + shift, box["y"] + box["height"] / 2)
    page.wait_for_timeout(400)  # whether a double click follows
    page.wait_for_selector("#cell table")


def settled(server: Server, calm: float = 1.2) -> float:
    """Wait until the server has had nothing to do for a while; when its last request was."""
    last, since = server.traffic.requests, time.perf_counter()
    while time.perf_counter() - since < calm:
        time.sleep(0.02)
        if server.traffic.requests != last:
            last, since = server.traffic.requests, time.perf_counter()
    return since


def whole_layer(path: UPath) -> Step:
    """One species of level 0 read whole."""
    array = raster.open_group(path / "0")["probability"]
    number = array.shape[0] // 2
    sizes = viewer_layouts.chunk_sizes(path, array)[number // array.chunks[0]]
    start = time.perf_counter()
    zarr_io.read(zarr_io.engine_of(array), (number, slice(None), slice(None)))
    return Step("whole layer", time.perf_counter() - start, int((sizes > 0).sum()), float(sizes.sum()) / 1e3)


def layout_figures(path: UPath, quick: bool) -> Figures:
    """Chunk shapes compared, for the species of the map and for thousands."""
    values = viewer_layouts.sample(path, 1 if quick else 3)
    many = viewer_layouts.many_species(values, 500 if quick else 5681, 90, 110)
    shapes = [(16, 128), (4, 64)] if quick else viewer_layouts.SHAPES
    figures: Figures = []
    for each in (values, many):
        layouts = []
        print(f"{len(each)} species, {each.shape[1]} x {each.shape[2]} cells; CPU time, bytes as stored")
        print("  chunk          MB   write s   a species of a tile   all species of a cell")
        for shape in shapes:
            with tempfile.TemporaryDirectory() as folder:
                one = viewer_layouts.measure(each, Path(folder), shape)
            layouts.append(one)
            print(
                f"  {shape[0]:3} x {shape[1]:3} {one.megabytes:8.2f} {one.write_s:9.2f}   {one.species_ms:6.2f} ms"
                f" {one.species_kb:6.0f} kB   {one.click_ms:7.2f} ms {one.click_kb:6.0f} kB in {one.click_chunks}"
            )
        old, new = (asdict(layouts[shapes.index(shape)]) for shape in ((16, 128), (4, 64)))
        for key, text in (("species_kb", "a species of a tile"), ("click_kb", "all species of a cell")):
            ratio = new[key] / old[key]
            figures.append(figure(f"bytes of {text}, {len(each)} species, of 16 x 128", ratio, "ratio", 1, ratio < 1))
    return figures


def figure(name: str, value: float, unit: str, goal: float, holds: bool) -> dict[str, object]:
    """One line of the end."""
    return {"figure": name, "value": round(float(value), 3), "unit": unit, "goal": goal, "holds": bool(np.bool_(holds))}


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--map", required=True, help="a map that `sdm-ray map` made, of EU land at 1 km")
    parser.add_argument("--quick", action="store_true", help="one round and two chunk shapes")
    parser.add_argument("--titiler", metavar="PYTHON", help="an interpreter with titiler.xarray and uvicorn")
    parser.add_argument("--only", choices=["page", "titiler", "chunks"], help="one part of it")
    given = parser.parse_args()
    path, rounds = UPath(given.map).absolute(), 1 if given.quick else ROUNDS
    figures: Figures = []
    if given.only in (None, "page"):
        figures += page_figures(path, rounds)
    if given.titiler and given.only in (None, "titiler"):
        print_titiler(path, given.titiler, rounds)
    if given.only in (None, "chunks"):
        figures += layout_figures(path, given.quick)
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
