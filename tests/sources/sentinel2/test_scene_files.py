"""Scenes in folders: real tiles, SAFE products, one file to a band."""

from zipfile import ZipFile

import numpy as np
import pytest
import rasterio
from helpers.observed_scenes import observed
from helpers.satellite import BANDS, classes, coarse, tile, write
from helpers.scene_settings import settings

from sdm_ray.errors import InputError
from sdm_ray.sources.sentinel2 import scene_files

PATTERN = r"y-(?P<year>\d{4})_m-(?P<month>\d\d)"
SAFE = "S2A_MSIL2A_20190715T110621_N0400_R137_T30UWC_20190715T142301.SAFE"
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2019-07-15T11:06:21.024Z</PRODUCT_START_TIME>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake></Product_Info>
<Product_Image_Characteristics>{offsets}</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-2A_User_Product>"""
OFFSETS = "".join(f'<BOA_ADD_OFFSET band_id="{number}">-1000</BOA_ADD_OFFSET>' for number in range(13))


def find(*folders, pattern=PATTERN, bands=BANDS, mask=None, baseline=None, **changed):
    scenes = {"kind": "files", "folders": [str(each) for each in folders], "pattern": pattern, "bands": bands}
    scenes["baseline"] = baseline
    source = settings(scenes=scenes, years=[2019], mask=mask, retries=0, **changed)
    return scene_files.find(source, source.scenes)


def test_the_real_tiles(data):
    scenes, report = find(data / "sentinel2-uk")
    assert len(scenes) == report.rows == 12
    assert {each.date for each in scenes} == {"2019-06-01"}
    assert [scenes[0].rasters[name].band for name in BANDS] == [1, 2, 3, 4]
    np.testing.assert_allclose(scenes[6].bounds, (3_477_226, 3_125_513, 3_480_191, 3_128_492), atol=1)


def safe(folder, data, baseline="04.00", offsets=OFFSETS):
    """An L2A product of JPEG 2000 files."""
    values, profile = tile(data)
    granule = folder / SAFE / "GRANULE" / "L2A_T30UWC_A021214_20190715T110624" / "IMG_DATA"
    plain = {key: profile[key] for key in ("crs", "transform")} | {"driver": "JP2OpenJPEG"}
    exact = {"QUALITY": "100", "REVERSIBLE": "YES"}
    for name, band in zip(("B04", "B03", "B02", "B08"), values, strict=True):
        write(granule / "R10m" / f"T30UWC_20190715T110621_{name}_10m.jp2", band + 1000, plain, **exact)
        write(granule / "R20m" / f"T30UWC_20190715T110621_{name}_20m.jp2", band[::2, ::2], coarse(plain), **exact)
    clear = classes(np.zeros((128, 128), bool))
    write(granule / "R20m" / "T30UWC_20190715T110621_SCL_20m.jp2", clear, coarse(plain), **exact)
    (folder / SAFE / "MTD_MSIL2A.xml").write_text(METADATA.format(baseline=baseline, offsets=offsets))
    return folder / SAFE


def test_a_safe_product(data, tmp_path):
    safe(tmp_path, data)
    scenes, report = find(tmp_path, mask=[9])
    (scene,) = scenes
    assert (scene.date, scene.cloud, scene.baseline, scene.offset) == ("2019-07-15", 12.5, "04.00", 1000)
    assert (scene.observation, scene.tile) == ("2019-07-15 sentinel-2a", "30UWC")
    assert scene.rasters["red"].href.endswith("_B04_10m.jp2") and scene.rasters["scl"].href.endswith("_SCL_20m.jp2")
    assert (report.rows, report.lost) == (1, 0)


def test_a_safe_product_of_an_earlier_baseline_or_without_metadata(data, tmp_path):
    product = safe(tmp_path, data, "02.13", "")
    assert [(each.baseline, each.offset) for each in find(tmp_path)[0]] == [("02.13", None)]
    (product / "MTD_MSIL2A.xml").unlink()
    scene = find(tmp_path)[0][0]
    assert (scene.baseline, scene.date, scene.observation) == ("04.00", "2019-07-15", "2019-07-15 sentinel-2a")


def test_one_file_to_a_band(data, tmp_path):
    values, profile = tile(data)
    for day in ("20190701", "20190711"):
        for name, band in zip(("B04", "B03", "B02", "B08"), values, strict=True):
            write(tmp_path / f"T30UWC_{day}T110621_{name}_10m.tif", band, profile)
        write(tmp_path / f"T30UWC_{day}T110621_SCL_20m.tif", classes(np.zeros((128, 128), bool)), coarse(profile))
    default = settings().scenes.pattern
    scenes, _ = find(tmp_path, pattern=default, mask=[9])
    assert [(each.name, each.date) for each in scenes] == [
        ("T30UWC_20190701T110621", "2019-07-01"),
        ("T30UWC_20190711T110621", "2019-07-11"),
    ]
    assert scenes[1].rasters["nir"].href.endswith("20190711T110621_B08_10m.tif")


def test_what_cannot_be_used_is_reported_by_name(data, tmp_path):
    values, profile = tile(data)
    write(tmp_path / "y-2019_m-06_good.tif", values, profile)
    write(tmp_path / "y-2019_m-06_nowhere.tif", values, profile, crs=None)
    (tmp_path / "y-2019_m-06_broken.tif").write_bytes(b"II*\0")
    write(tmp_path / "y-2019_m-13.tif", values, profile)
    scenes, report = find(tmp_path)
    assert [each.name for each in scenes] == ["y-2019_m-06_good"]
    assert report.rows == 4 and report.dropped["no_date_in_the_name"] == ["y-2019_m-13.tif"]
    broken, nowhere = report.dropped["unreadable"]
    assert broken.startswith("y-2019_m-06_broken (") and "has no projection (CRS)" in nowhere


def test_mistakes_are_one_line(data, tmp_path):
    folder = data / "sentinel2-uk"
    with pytest.raises(
        InputError, match=r"\.tif: band 1 has no description; give the bands' names under scenes\.bands"
    ):
        find(folder, bands=None)
    with pytest.raises(InputError, match=r"\.tif: holds 4 bands, scenes\.bands names 2"):
        find(folder, bands=["red", "nir"])
    with pytest.raises(InputError, match=r"\.tif: has no band scl; found blue, green, nir, red \(mask: null"):
        find(folder, mask=[9])
    with pytest.raises(InputError, match="no GeoTIFF, JPEG 2000 or SAFE product below it"):
        find(tmp_path)
    (tmp_path / "y-2019_m-06.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 1 rows cannot be used.*first y-2019_m-06 \("):
        find(tmp_path)


@pytest.mark.parametrize("place", ["{product}.tif", "{product}/image.tif"])
def test_the_baseline_is_read_from_product_names_file_by_file(data, tmp_path, place):
    values, profile = tile(data)
    product = "S2A_MSIL2A_201907{day}T110621_N{baseline}_R137_T30UWC_20190715T142301"
    wanted = {"15": "0500", "16": "0213"}
    for day, baseline in wanted.items():
        file = place.format(product=product.format(day=day, baseline=baseline)).replace("image", f"201907{day}")
        write(tmp_path / file, values, profile)
    write(tmp_path / "20190717.tif", values, profile)
    tagged = write(tmp_path / "20190718.tif", values, profile)
    with rasterio.open(tagged, "r+") as raster:
        raster.update_tags(PROCESSING_BASELINE="05.09")
    scenes, _ = find(tmp_path, pattern=r"(?P<date>\d{8})", baseline=3.01)
    assert {each.date[-2:]: each.baseline for each in scenes} == {
        "15": "05.00",
        "16": "02.13",
        "17": "03.01",
        "18": "05.09",
    }


def test_two_versions_of_a_file_are_two_scenes_of_one_observation(data, tmp_path):
    values, profile = tile(data)
    for baseline in ("0213", "0500"):
        name = f"S2A_MSIL2A_20190715T110621_N{baseline}_R137_T30UWC_20190715T142301"
        write(tmp_path / f"{name}.tif", values, profile)
    scenes, _ = find(tmp_path, pattern=settings().scenes.pattern)
    assert {(each.observation, each.tile) for each in scenes} == {("2019-07-15 sentinel-2a", "30UWC")}
    assert [each.baseline for each in scenes] == ["02.13", "05.00"]


def test_of_several_files_of_a_band_the_finest_is_taken(data, tmp_path):
    values, profile = tile(data)
    for name, band in zip(("B04", "B03", "B02", "B08"), values, strict=True):
        write(tmp_path / f"20190701_{name}_10m.tif", band, profile)
        write(tmp_path / f"20190701_{name}_20m.tif", band[::2, ::2], coarse(profile))
        write(tmp_path / f"20190701_{name}_60m.tif", band[::2, ::2], coarse(profile))
    write(tmp_path / "20190701_B04_10m.tiff", values[0], profile)
    scenes, report = find(tmp_path, pattern=settings().scenes.pattern)
    assert all(raster.href.rpartition(".")[0].endswith("_10m") for raster in scenes[0].rasters.values())
    assert report.noted == {"second_file_of_a_band": ["20190701_B04_10m.tiff"]}


def test_files_of_one_name_in_two_folders_are_two_scenes(data, tmp_path):
    values, profile = tile(data)
    for folder in ("30UWC", "30UXC"):
        write(tmp_path / folder / "20190701.tif", values, profile)
    scenes, _ = find(tmp_path, pattern=r"(?P<date>\d{8})")
    assert [each.name for each in scenes] == ["30UWC/20190701", "30UXC/20190701"]


def test_a_zipped_product_is_read_as_its_folder_is(data, tmp_path):
    product = safe(tmp_path / "unzipped", data)
    target = tmp_path / "zipped" / "S2A.SAFE.zip"
    target.parent.mkdir()
    with ZipFile(target, "w") as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(product.parent))
    (folder,), _ = find(tmp_path / "unzipped", mask=[9])
    (zipped,), report = find(tmp_path / "zipped", mask=[9])
    hrefs = {"rasters": {}}
    assert zipped.model_copy(update=hrefs) == folder.model_copy(update=hrefs)
    assert (zipped.baseline, zipped.offset, report.lost, report.noted) == ("04.00", 1000, 0, {})
    wanted = {"mask": [9]}
    assert np.array_equal(observed(zipped, **wanted), observed(folder, **wanted))
    assert (observed(zipped, **wanted) > 0).all()
    assert find(target, mask=[9])[0] == [zipped] and find(product, mask=[9])[0] == [folder]


def test_zips_that_hold_no_product_are_reported(data, tmp_path):
    values, profile = tile(data)
    write(tmp_path / "y-2019_m-06.tif", values, profile)
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "none")
    scenes, report = find(tmp_path)
    assert len(scenes) == 1 and report.rows == 2
    assert "broken.zip" in report.dropped["unreadable"][0]
    assert report.noted["zip_without_a_product"] == [str(tmp_path / "other.zip")]


def test_a_zip_whose_metadata_are_damaged_is_reported(tmp_path):
    with ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.writestr(f"{SAFE}/MTD_MSIL2A.xml", METADATA.format(baseline="04.00", offsets=OFFSETS))
    content = (tmp_path / "scene.zip").read_bytes()
    (tmp_path / "scene.zip").write_bytes(content.replace(b"12.5", b"99.9", 1))  # which its checksum does not fit
    with pytest.raises(InputError, match=r"unreadable.*Bad CRC-32"):
        find(tmp_path)


def test_a_product_whose_metadata_hold_no_number_is_reported(tmp_path):
    (tmp_path / SAFE).mkdir()
    text = METADATA.format(baseline="04.00", offsets=OFFSETS).replace("12.5", "1\n\n2.5")
    (tmp_path / SAFE / "MTD_MSIL2A.xml").write_text(text)
    with pytest.raises(InputError, match=r"unreadable.*could not convert string to float"):
        find(tmp_path)
