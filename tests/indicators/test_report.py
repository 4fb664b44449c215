from sdm_ray.indicators.report import file_names


def test_every_zone_has_a_file_of_its_own():
    ids = ["A/1", "A 1", "A-1-2", "B", "b", "FRM0", "?", "!", "A:1"]
    found = file_names(ids)
    assert found == ["A-1", "A-1-3", "A-1-2", "B", "b-2", "FRM0", "zone", "zone-2", "A-1-4"]
    assert len({each.casefold() for each in found}) == len(ids)
