"""The job `impact`: a page and tables for each question, and a table of all effects."""

import re
from typing import Any

import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.impact.answer import Answer, answer
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.covariates import read_covariates
from sdm_ray.impact.outcomes import read_outcomes
from sdm_ray.impact.page import estimates, page, pairs_table, summary, units_table
from sdm_ray.impact.questions import Material, questions
from sdm_ray.impact.units import read_treatment, read_units
from sdm_ray.job import Job
from sdm_ray.progress import say, track


def run(config: ImpactConfig, job: Job) -> dict[str, Any]:
    """Answer the questions.

    Raises:
        InputError: units, outcomes or covariates cannot be used, or a treatment has no controls.
    """
    units = read_units(config)
    treated, date = read_treatment(units, config)
    material = Material(units, treated, date, read_outcomes(config, units), read_covariates(config, units))
    for note in [*units.notes, *material.outcomes.notes]:
        say(f"  {note}")
    asked = questions(config, material)
    folders = [slug(each.title) for each in asked]
    if twice := sorted({name for name in folders if folders.count(name) > 1}):
        raise InputError(f"questions: two titles make the folder {twice[0]}, expected titles that differ in a word")
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    for question, folder in track(zip(asked, folders, strict=True), len(asked), "questions"):
        found = answer(question, material, config)
        _write(job.output / folder, found, material, config.estimate.confidence)
        rows.append(_row(found))
        figures |= {f"{folder}/{name}": rows[-1][name] for name in ("effect", "low", "high", "matched")}
        titled = "" if question.title == question.outcome else f"{question.title}: "
        say(f"  {titled}{summary(found, config.estimate.confidence)}")
        say(f"  page {job.output / folder / 'page.html'}")
    (job.output / "effects.csv").write_text(pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    return {"questions": len(asked), **figures}


def slug(title: str) -> str:
    """A title as the name of a folder."""
    return re.sub(r"[^\w.]+", "-", title.lower()).strip("-.") or "question"


def _row(found: Answer) -> dict[str, Any]:
    effect, hidden = found.effect, found.sensitivity
    study = found.question.study
    row: dict[str, Any] = {
        "question": found.question.title,
        "outcome": found.question.outcome,
        "effect": effect.value,
        "low": effect.low,
        "high": effect.high,
        "standard_error": effect.error,
        "treated": int(study.treated.sum()),
        "matched": effect.sets,
        "controls": int((~study.treated).sum()),
        "block_m": found.block_m,
        "effective_blocks": effect.blocks,
        "detectable": found.detectable,
        "worst_smd_before": _worst(found, "smd_before"),
        "worst_smd": _worst(found, "smd"),
        "gamma": hidden.gamma,
        "e_value": hidden.e_value,
        "e_value_limit": hidden.e_value_limit,
        "trend_p": float("nan") if found.events is None else found.events.trend_p,
    }
    if found.truth is not None:
        row["truth"] = found.truth
    for name, (beyond, count) in found.placebos.counts().items():
        row[f"{name}, beyond"], row[f"{name}, made"] = beyond, count
    for name, (value, low, high) in list(estimates(found).items())[1:]:
        row |= {name: value, f"{name}, low": low, f"{name}, high": high}
    return row


def _worst(found: Answer, column: str) -> float:
    matched_on = found.balance[found.balance["matched_on"]]
    return float(matched_on[column].abs().max()) if len(matched_on) else float("nan")


def _write(folder: UPath, found: Answer, material: Material, confidence: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "units": units_table(found, material),
        "pairs": pairs_table(found),
        "balance": found.balance,
        "placebos": found.placebos.table,
    }
    if found.events is not None:
        tables["event_study"] = found.events.table
    for name, table in tables.items():
        (folder / f"{name}.csv").write_text(table.to_csv(index=False, float_format="%.6g"))
    (folder / "caveats.txt").write_text("\n".join(found.caveats) + "\n")
    (folder / "page.html").write_text(page(found, material, confidence))
