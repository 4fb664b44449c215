"""Scientific names as people write them."""

import pytest

from sdm_ray.sources.occurrences.scientific_names import above_species, normalise

X = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Linum narbonense L.", "  Linum   narbonense", "LINUM NARBONENSE", "linum narbonense"], "linum narbonense"),
        (["Linum narbonense", "LINUM NARBONENSE L."], "linum narbonense"),
        (["Carex\u00a0nigra", "Carex  nigra", "Carex_nigra"], "carex nigra"),
        (["Quercus x rosacea Bechst.", f"Quercus {X}rosacea", f"Quercus {X} rosacea"], f"quercus {X} rosacea"),
        ([f"{X}Festulolium loliaceum", f"{X} Festulolium loliaceum"], f"{X} festulolium loliaceum"),
        (["Pinus nigra J.F.Arnold subsp. laricio (Poir.) Maire", "Pinus nigra ssp. laricio", "Pinus nigra ssp.laricio"],
         "pinus nigra subsp. laricio"),
        (["Juniperus communis var. saxatilis Pall."], "juniperus communis var. saxatilis"),
        (["Acer campestre de Candolle ex Mill.", "Acer campestre L"], "acer campestre"),
        (["Arctostaphylos uva-ursi (L.) Spreng."], "arctostaphylos uva-ursi"),
        (["Galium o'reillyi", "Galium o\N{RIGHT SINGLE QUOTATION MARK}reillyi"], "galium o'reillyi"),
        (["Isoëtes lacustris L.", "Isoetes lacustris"], "isoetes lacustris"),
        (["Parus major Linnaeus, 1758"], "parus major"),
        (["Rubus fruticosus agg.", "Rubus fruticosus aggr.", "Rubus fruticosus agg"], "rubus fruticosus agg."),
        (["Festuca ovina s.l.", "Festuca ovina s. lat.", "Festuca ovina sensu lato"], "festuca ovina s.l."),
        (["Quercus robur x petraea", f"Quercus robur {X} petraea"], f"quercus robur {X} petraea"),
    ],
)  # fmt: skip
def test_spellings_have_one_form(names, expected):
    assert {normalise(name) for name in names} == {expected}


@pytest.mark.parametrize(
    "names",
    [
        ["Quercus", "Quercus sp.", "Quercus sp. 1", "Quercus sp. 2", "Quercus cf. robur", "Quercus aff. robur",
         "Quercus robur", "cf. Quercus robur", "Quercus robur?"],
        ["Salix cinerea", f"Salix cinerea {X} caprea", "Salix cinerea x S. caprea", f"Salix {X} cinerea"],
        ["Carex flava", "Carex flava A", "Carex flava B", "Carex flava 1", "Carex flava A1", "Carex flava A2",
         "Carex flava/lepidocarpa"],
        ["Acer opalus", "Acer opalus granatense", "Acer opalus subsp. granatense", "Acer opalus var. granatense"],
        ["Populus nigra", "Populus nigra 'Italica'", "Populus nigra cv. Italica", "Populus nigra cv. Plantierensis"],
        ["Rubus fruticosus", "Rubus fruticosus agg.", "Rubus fruticosus s.str.", "Rubus fruticosus sect. Rubus",
         "Rubus fruticosus sect. Corylifolii"],
        ["Gemeine Esche", "Gemeine Kiefer", "oak", "elm", "12", "1E3", "None"],
        ["Vaccinium vitis", "Vaccinium vitis.idaea"],
    ],
)  # fmt: skip
def test_other_taxa_stay_apart(names):
    assert len({normalise(name) for name in names}) == len(names)


def test_a_genus_is_above_species():
    above = ["Quercus", "Quercus L.", "Quercus sp.", "Fagaceae"]
    below = ["Quercus robur", "Quercus cf. robur", f"Quercus robur {X} petraea", "12", f"Quercus {X} rosacea"]
    assert [above_species(each) for each in above + below] == [True] * len(above) + [False] * len(below)
