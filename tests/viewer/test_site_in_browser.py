"""The page in a browser: what a person chooses, clicks and reads is what the Zarr holds."""

import json
import re
from urllib.parse import parse_qs

import numpy as np
import pytest
import shapely
from helpers import shown_maps, viewer_page
from helpers.shown_maps import GRID, NAMES
from upath import UPath

from sdm_ray.geo.codes import eea_code
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores.encoding import encode
from sdm_ray.stores.maps import Map

CELL = (60, 75)  # row and column in the middle of the map


def link(page) -> dict[str, list[str]]:
    return parse_qs(page.evaluate("location.hash").removeprefix("#"))


def stored(path, cell=CELL) -> dict[str, float]:
    source = Map(UPath(path))
    values = source.stored(Window(*cell, 1, 1))[:, 0, 0] / (2**source.bits - 2)
    return dict(zip(source.species["name"], values, strict=True))


def read_middle(page) -> None:
    """The cell in the middle of the map, by keyboard."""
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell table")


def test_a_species_is_chosen_and_the_map_changes(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    before = viewer_page.settled(page)
    assert page.title() == "Trees of nowhere"
    assert page.evaluate("document.body.dataset.shown") == "Abies alba"
    viewer_page.choose(page, "cembra")
    page.wait_for_selector("body[data-shown='Pinus cembra']")
    after = viewer_page.settled(page)
    changed = (np.abs(before - after).max(axis=2) > 8).mean()
    assert changed > 0.3
    assert page.wrong == []


def test_the_level_of_the_pyramid_follows_the_zoom(serve, tmp_path, page):
    grid = Grid(4_000_000.0, 3_000_000.0, 1000.0, 600, 300)
    shown_maps.write_map(tmp_path / "map.zarr", NAMES[:1], grid=grid)
    page.set_viewport_size({"width": 700, "height": 800})
    url = serve(tmp_path / "map.zarr").url
    for resolution, level, other in ((1700, "1", "0"), (600, "0", None)):
        page.asked.clear()
        viewer_page.opened(page, f"{url}#x=4300000&y=2850000&resolution={resolution}&quality=survey_distance")
        for layer in ("probability", "survey_distance"):
            assert any(f"/{level}/{layer}/c/" in asked for asked in page.asked)
            assert not any(f"/{other}/{layer}/c/" in asked for asked in page.asked)


def test_an_indicator_seen_from_afar_reads_its_coarser_level_alone(serve, tmp_path, page):
    grid = Grid(4_000_000.0, 3_000_000.0, 1000.0, 600, 300)
    values = shown_maps.write_map(tmp_path / "map.zarr", NAMES[:1], grid=grid)
    shown_maps.write_indicators(tmp_path / "indicators.zarr", tmp_path / "map.zarr", values.sum(axis=0), grid)
    page.set_viewport_size({"width": 700, "height": 800})
    url = serve(tmp_path / "map.zarr").url
    view = "x=4300000&y=2850000&resolution=1700&layer=indicators.zarr:shannon"
    viewer_page.opened(page, f"{url}#{view}")
    page.wait_for_selector("body[data-shown='shannon']")
    assert any("stores/1/1/shannon/c/" in asked for asked in page.asked)
    assert not any("/0/shannon/c/" in asked for asked in page.asked)
    assert viewer_page.settled(page)[394:406, 100:600].std(axis=(0, 1)).max() > 5
    assert page.locator("#status").inner_text() == "" and page.wrong == []


def test_a_click_shows_the_figures_of_the_zarr_to_the_last_digit(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url + "#x=4075000&y=2940000&resolution=250")
    x, y = GRID.centre(np.array([20]), np.array([100]))
    viewer_page.click(page, 4_075_000, 2_940_000, x[0], y[0], 250)
    page.wait_for_selector("#cell table")
    expected = stored(run_folder / "map.zarr", (20, 100))
    shown = viewer_page.rows(page, "#cell")
    assert {name: shown[name] for name in NAMES} == {name: f"{value:.5f}" for name, value in expected.items()}
    values = viewer_page.full_values(page, "#cell")
    assert {name: values[name] for name in NAMES} == expected
    assert [name for name in shown if name in NAMES] == sorted(NAMES, key=lambda name: -expected[name])
    source, window = Map(UPath(run_folder / "map.zarr")), Window(20, 100, 1, 1)
    for layer, label in (("richness", "Richness"), ("survey_distance", "Survey distance (m)")):
        assert values[label] == source.layer(layer, window)[0, 0]
    assert shown["Inputs"] == "location" and shown["Surveyed country"] == "country without survey"
    assert values["Evenness"] == np.float32(values["Richness"] / 4)
    assert values["Likely species (threshold 0.5)"] == np.uint16(values["Richness"] / 2)
    assert eea_code(x[0], y[0], 1000) in page.locator("#cell h3").inner_text()


def test_a_click_outside_the_map_says_so(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 14)
    page.get_by_text("This place lies outside the map.").first.wait_for()


def test_the_link_restores_the_view(serve, run_folder, page, browser):
    url = serve(run_folder / "map.zarr").url
    viewer_page.opened(page, url)
    viewer_page.choose(page, "Quercus")
    page.get_by_label("Pale where quality is low").select_option("survey_distance")
    page.locator("#limit").fill("20000")
    page.locator("#limit").press("Enter")
    page.locator(".ol-zoom-in").click()
    page.wait_for_timeout(600)
    read_middle(page)
    expected, address = viewer_page.settled(page), page.evaluate("location.href")
    assert {"x", "y", "resolution", "cell", "quality", "limit", "at.species"} <= set(link(page))
    other = browser.new_page(viewport={"width": 1280, "height": 800})
    viewer_page.opened(other, address)
    other.wait_for_selector("#cell table")
    other.locator("#map").focus()
    around = np.s_[80:700, 80:-80]  # without the buttons, one of which the mouse is over
    assert np.abs(viewer_page.settled(other) - expected)[around].max() <= 2
    assert other.evaluate("location.href") == address
    assert viewer_page.rows(other, "#cell") == viewer_page.rows(page, "#cell")
    other.close()


def test_quality_fades_cells_and_the_legend_says_what_is_pale(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    before = viewer_page.settled(page)
    page.get_by_label("Pale where quality is low").select_option("inputs")
    page.get_by_text("Opacity: fewer inputs are paler.").wait_for()
    after = viewer_page.settled(page)
    changed = np.abs(before - after).max(axis=2) > 8
    third = changed.shape[1] // 3
    assert changed[200:600, -third:-60].mean() > 0.5 > changed[200:600, third + 40 : third + 150].mean()


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("survey_distance", "paler with distance to the nearest survey"),
        ("environmental_similarity", "paler where the environment is novel (below 0)"),
        ("probability_spread", "paler with the spread among models"),
        ("richness_spread", "paler with the spread among models"),
        ("surveyed_country", "countries without a survey are paler"),
    ],
)
def test_each_kind_of_quality_fades_the_east_where_it_is_worse(serve, run_folder, page, layer, sentence):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    before = viewer_page.settled(page)
    page.get_by_label("Pale where quality is low").select_option(layer)
    page.locator("#legend").get_by_text(sentence).wait_for()
    changed = np.abs(before - viewer_page.settled(page)).max(axis=2)[200:600]
    third = changed.shape[1] // 3
    west, east = changed[:, third + 40 : third + 100], changed[:, -third : -third + 60]
    if layer == "surveyed_country":  # the flag is 1 in the west, 0 in the east
        east = changed[:, -third + 60 : -60]
    assert east.mean() > west.mean() + 8


def test_an_indicator_of_the_same_run_is_shown_with_its_axis(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    show = page.get_by_label("Show")
    show.select_option(label="Richness")
    page.get_by_text("expected number of species (sum of probabilities)").wait_for()
    show.select_option("indicators.zarr:likely_species")
    page.get_by_label("Threshold").select_option("0.5")
    page.wait_for_selector("body[data-shown='likely species, 0.5']")
    assert link(page)["at.threshold"] == ["0.5"]
    show.select_option("inputs")
    page.locator("#legend").get_by_text("Location, covariates").wait_for()
    assert page.wrong == []


def test_two_maps_are_compared_at_a_line_that_moves(serve, run_folder, tmp_path, page):
    shown_maps.write_map(tmp_path / "other.zarr", NAMES[::-1], levels=0, bits=8)
    viewer_page.opened(page, serve(run_folder / "map.zarr", tmp_path / "other.zarr").url)
    alone = viewer_page.settled(page)
    page.get_by_role("button", name="Compare with another").click()
    page.wait_for_selector("body[data-shown='Abies alba, map.zarr | Abies alba, other.zarr']")
    both = viewer_page.settled(page)
    middle = both.shape[1] // 2
    left, right = np.s_[200:600, 200 : middle - 20], np.s_[200:600, middle + 20 : -160]
    differ = np.abs(alone - both).max(axis=2) > 8
    assert differ[left].mean() < 0.05 < 0.3 < differ[right].mean()
    page.locator("#swipe").fill("1")
    differ = np.abs(alone - viewer_page.settled(page)).max(axis=2) > 8
    assert differ[right].mean() < 0.05
    read_middle(page)
    heads = page.locator("#cell thead").first.inner_text()
    assert "map.zarr" in heads and "other.zarr" in heads
    page.get_by_role("button", name="Stop comparing").click()
    page.wait_for_selector("body[data-shown='Abies alba, map.zarr']")


@pytest.mark.parametrize(("axis", "labels"), [("time", ["2020", "2050"]), ("scenario", ["today", "ssp370 2050"])])
def test_two_years_or_scenarios_of_one_map_are_compared(serve, tmp_path, page, axis, labels):
    values = shown_maps.write_axis_map(tmp_path / "map.zarr", axis, labels)
    viewer_page.opened(page, serve(tmp_path / "map.zarr").url)
    page.get_by_label(axis.capitalize()).select_option(labels[1])
    read_middle(page)
    expected = encode(values[1, :, *CELL], 16) / 65534
    shown = viewer_page.full_values(page, "#cell")
    assert [shown[name] for name in NAMES] == expected.tolist()
    page.get_by_role("button", name="Compare with another").click()
    page.wait_for_selector(f"body[data-shown='Abies alba, {labels[1]} | Abies alba, {labels[0]}']")
    assert link(page)[f"b.at.{axis}"] == [labels[0]]


ZONE = [(4_030_110, 2_905_030), (4_100_070, 2_920_190), (4_120_310, 2_975_170), (4_045_130, 2_960_290)]


def inside_zone() -> np.ndarray:
    """Cells whose centre lies in the zone."""
    rows, cols = np.mgrid[: GRID.height, : GRID.width]
    x, y = GRID.centre(rows.ravel(), cols.ravel())
    return shapely.contains_xy(shapely.Polygon(ZONE), x, y).reshape(GRID.shape)


def test_the_figures_of_a_zone_are_those_of_its_cells(serve, run_folder, tmp_path, page):
    source, inside = Map(UPath(run_folder / "map.zarr")), inside_zone()
    expected = np.nanmean(source.read(Window(0, 0, *GRID.shape)).astype(float)[:, inside], axis=1)
    richness = source.layer("richness")[inside].astype(float).mean()
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    polygon = {"type": "Polygon", "coordinates": [[*ZONE, ZONE[0]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": polygon}
    file = tmp_path / "zone.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    page.locator("#load").set_input_files(file)
    page.wait_for_selector("#zone table")
    rows, values = viewer_page.rows(page, "#zone"), viewer_page.full_values(page, "#zone")
    assert rows["Cells"] == f"{inside.sum():,}" and rows["Area (km²)"] == f"{inside.sum():,}"
    assert [values[name] for name in NAMES] == pytest.approx(expected, abs=1e-7)
    assert values["Mean"] == pytest.approx(expected[0], abs=1e-7)
    assert values["Richness"] == pytest.approx(richness, rel=1e-9)
    assert len(link(page)["zone"][0].split(",")) == 5
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#zone table").count() == 0 and "zone" not in link(page)


def test_a_zone_is_drawn_and_what_is_no_polygon_is_refused(serve, run_folder, tmp_path, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    page.get_by_role("button", name="Draw").click()
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for dx, dy in ((-100, -100), (100, -100), (100, 100)):
        page.mouse.click(x + dx, y + dy)
        page.wait_for_timeout(350)
    page.mouse.dblclick(x - 100, y + 100)
    page.wait_for_selector("#zone table")
    assert int(viewer_page.rows(page, "#zone")["Cells"].replace(",", "")) > 100
    (tmp_path / "zone.txt").write_text("neither")
    page.locator("#load").set_input_files(tmp_path / "zone.txt")
    page.get_by_text("The file holds no polygon: expected GeoJSON or WKT").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_light_and_dark_and_a_small_screen(serve, run_folder, browser, scheme):
    page = browser.new_page(viewport={"width": 380, "height": 720}, color_scheme=scheme)
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    ground = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (sum(map(int, ground)) > 600) == (scheme == "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    box = page.locator("#map").bounding_box()
    assert box["width"] == 380 and box["height"] > 300
    page.close()


def test_every_control_has_a_name_that_a_screen_reader_reads(serve, run_folder, page):
    viewer_page.opened(page, serve(run_folder / "map.zarr").url)
    script = """each => each.filter(one => !one.hidden && !one.labels?.length && !one.getAttribute('aria-label')
        && !one.innerText?.trim()).map(one => one.outerHTML)"""
    assert page.locator("button, input, select").evaluate_all(script) == []
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    field = page.get_by_role("combobox", name="Species")
    field.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = field.get_attribute("aria-activedescendant")
    assert page.locator(f"[id='{active}']").inner_text() == NAMES[1]
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-shown='Fagus sylvatica']")
    before = link(page)
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(600)
    assert float(link(page)["x"][0]) > float(before["x"][0])
