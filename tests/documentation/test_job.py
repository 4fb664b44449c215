"""`document` writes both files from a map, an evaluation and the author's answers."""

import pandas as pd
import pytest

from sdm_ray import job
from sdm_ray.documentation.config import DocumentConfig
from sdm_ray.documentation.job import run
from sdm_ray.errors import InputError
from sdm_ray.stores import artefact


def document(mapped, tmp_path, **values):
    tracking = {"uri": f"sqlite:///{tmp_path}/mlflow.db"}
    config = DocumentConfig(run_dir=str(mapped), map="described.zarr", tracking=tracking, **values)
    job.execute("document", config, run, "documentation")
    return config.path(config.output)


def test_files_and_figures(mapped, evaluation, tmp_path):
    output = document(mapped, tmp_path, evaluation="evaluation", answers={"o_authorship_1": "A. Botanist"})
    table = pd.read_csv(str(output / "odmap.csv"))
    assert list(table) == ["section", "subsection", "element", "Value", "filled_by", "id"]
    assert table.set_index("id").loc["o_authorship_1", "Value"] == "A. Botanist"
    figures = artefact.read_record(output).figures
    assert figures["odmap_filled"] == table["Value"].notna().sum() and figures["odmap_filled"] >= 70
    assert "0.830" in (output / "model-card.md").read_text()


def test_what_is_no_element_or_no_evaluation_is_named(mapped, tmp_path):
    with pytest.raises(ValueError, match="o_nothing is no ODMAP element; expected identifiers such as o_authorship_1"):
        DocumentConfig(run_dir=str(mapped), answers={"o_nothing": "?"})
    with pytest.raises(InputError, match=r"metrics\.json: no such file; expected an artefact of `evaluate`"):
        document(mapped, tmp_path, evaluation="land.zarr", output="none")
