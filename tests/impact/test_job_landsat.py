"""Real disturbances of European forests: the effect of recent ones is found, and gone where forests have regrown."""

import pandas as pd
import pytest

from sdm_ray import jobs

QUESTIONS = "questions={recent: {dates: [2012, 2015], where: {severity_disturbance_1: [SR]}}, old: {dates: [1986, 1995], where: {severity_disturbance_1: [SR]}}}"  # noqa: E501 - one override
FEW = ["placebos.fake_treatments=10", "estimate.resamples=300", QUESTIONS]


@pytest.fixture(scope="module")
def effects(data, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("landsat")
    config = jobs.shipped_configs() / "landsat-disturbance" / "impact.yaml"
    jobs.run_job("impact", config, [f"run_dir={run_dir}", *FEW])
    return pd.read_csv(run_dir / "impact" / "effects.csv").set_index("question")


def test_recent_stand_replacing_disturbance_lowers_wetness_and_old_ones_have_recovered(effects):
    recent, old = effects.loc["recent"], effects.loc["old"]
    assert recent["matched"] == recent["treated"] > 250
    assert -130 < recent["effect"] < -60 and recent["high"] < 0
    assert old["low"] < 0 < old["high"] and abs(old["effect"]) < 30


def test_matching_balances_what_differed(effects):
    assert (effects["worst_smd_before"] > 0.2).all() and (effects["worst_smd"] < 0.1).all()


def test_planted_dates_give_no_effect(effects):
    assert (effects["fake treatment, made"] == 10).all() and (effects["fake treatment, beyond"] <= 2).all()
