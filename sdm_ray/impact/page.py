"""The page of one question, and its tables."""

import numpy as np
import pandas as pd

from sdm_ray.impact import pictures
from sdm_ray.impact.answer import Answer, sentence
from sdm_ray.impact.questions import Material
from sdm_ray.plots import charts
from sdm_ray.plots.html import Picture, Section, Table, render


def summary(answer: Answer, confidence: float) -> str:
    """The answer in two sentences."""
    effect, treated = answer.effect, int(answer.question.study.treated.sum())
    limits = f"{percent(confidence)} interval {number(effect.low)} to {number(effect.high)}"
    if not np.isfinite(effect.error):
        limits = "without an interval, as its treated units lie in one block"
    elif effect.beyond:
        limits += ", which excludes zero"
    else:
        limits += ", which holds zero: no effect can be told"
    truth = "" if answer.truth is None else f" The true effect is {number(answer.truth)}."
    controls = len(np.unique(answer.matches.control))
    return (
        f"Effect on {answer.question.outcome}: {number(effect.value)}, {limits}.{truth} {effect.sets} of"
        f" {treated} treated units are matched with {controls} controls; the smallest effect found with a power of"
        f" 80 % is {number(answer.detectable)}."
    )


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:g} %"


def page(answer: Answer, material: Material, confidence: float) -> str:
    """The HTML page."""
    sections = [
        _effect(answer, confidence),
        _caveats(answer),
        _balance(answer),
        *_events(answer),
        *_placebos(answer),
        _sensitivity(answer),
        _where(answer, material),
    ]
    return render(answer.question.title, summary(answer, confidence), sections)


def estimates(answer: Answer) -> dict[str, tuple[float, float, float]]:
    """Label -> value and interval of each way to estimate."""
    rows = {"matched controls": answer.effect, "matched controls, not adjusted": answer.plain}
    found = {name: (each.value, each.low, each.high) for name, each in rows.items()}
    if answer.truth is not None:
        found["true effect"] = (answer.truth, answer.truth, answer.truth)
    return found | {name: (each.value, each.low, each.high) for name, each in answer.naive.items()}


def units_table(answer: Answer, material: Material) -> pd.DataFrame:
    """One row for each unit: what it is, and what it counts."""
    study, matches, question = answer.question.study, answer.matches, answer.question
    status = question.status.astype(object)
    used = np.zeros(len(study.ids), bool)
    used[np.concatenate([matches.control, matches.treated])] = True
    status[question.index[~used]] = [f"{each}, not matched" for each in status[question.index[~used]]]
    weight, logit = np.zeros(len(status)), np.full(len(status), np.nan)
    weight[question.index] = matches.control_weights(len(study.ids))
    weight[question.index[np.unique(matches.treated)]] = 1
    logit[question.index] = matches.logit
    units = material.units
    columns = {"id": units.ids, "x": units.x.round(1), "y": units.y.round(1), "status": status,
               "date": material.date, "weight": weight.round(6), "propensity_logit": logit.round(6)}  # fmt: skip
    return pd.DataFrame(columns | ({} if units.shapes is None else {"overlaps": units.overlaps}))


def pairs_table(answer: Answer) -> pd.DataFrame:
    """One row for each pair: their changes, and how far apart they lie."""
    study, matches = answer.question.study, answer.matches
    changes, row = study.changes(), study.row_of_date()[matches.treated]
    one, other = matches.treated, matches.control
    return pd.DataFrame(
        {
            "treated": study.ids[one],
            "control": study.ids[other],
            "date": study.date[one],
            "weight": matches.weight.round(6),
            "change_treated": changes[row, one],
            "change_control": changes[row, other],
            "distance_m": np.hypot(study.x[one] - study.x[other], study.y[one] - study.y[other]).round(1),
        }
    )


def number(value: float) -> str:
    """Three significant digits, no exponent for what people write without."""
    if not np.isfinite(value):
        return "not known"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _effect(answer: Answer, confidence: float) -> Section:
    rows = estimates(answer)
    table = Table(
        f"Effect on {answer.question.outcome}, with {percent(confidence)} intervals from resampled blocks of"
        f" {answer.block_m / 1000:g} km",
        ("estimate", "effect", "low", "high"),
        [(name, *map(number, each)) for name, each in rows.items()],
    )
    others = [(f"blocks of {side / 1000:g} km", each) for side, each in answer.by_block.items()]
    if answer.sampling is not None:
        others.append(("without the error of the outcome itself", answer.sampling))
    checks = Table(
        "The matched estimate with other intervals",
        ("interval", "low", "high", "effective blocks"),
        [(name, number(each.low), number(each.high), f"{each.blocks:.1f}") for name, each in others],
    )
    text = (
        "The effect is the mean over matched treated units of their change from before to after the treatment, less the"
        " change of their controls over the same years. Estimates without matched controls are shown for comparison"
        " only."
    )
    chart = charts.intervals(rows, f"Effect on {answer.question.outcome}", answer.question.outcome)
    return Section("Effect", [text], [table, checks], [Picture("Estimates with their intervals", chart)])


def _caveats(answer: Answer) -> Section:
    return Section("Caveats", answer.caveats)


def _balance(answer: Answer) -> Section:
    kept = ("smd_before", "smd", "variance_ratio_before", "variance_ratio")
    rows = [
        (row["covariate"], *(number(row[name]) for name in (*("mean_treated", "mean_control"), *kept)))
        for _, row in answer.balance.iterrows()
    ]
    header = ("covariate", "treated", "controls", "difference before", "after", "variance ratio before", "after ")
    study, matches = answer.question.study, answer.matches
    return Section(
        "Balance",
        ["Standardised mean differences below 0.1 and variance ratios between 0.5 and 2 are taken as balanced."],
        [Table("Means after matching; differences and variance ratios before and after it", header, rows)],
        [
            Picture("Standardised mean differences", pictures.love_plot(answer.balance)),
            Picture("Overlap of propensity scores", pictures.overlap(study, matches), half=True),
        ],
    )


def _events(answer: Answer) -> list[Section]:
    if answer.events is None or len(answer.events.table) < 2:
        return []
    table, p = answer.events.table, answer.events.trend_p
    rows = [tuple(number(value) for value in row) for row in table.to_numpy()]
    trend = "" if not np.isfinite(p) else f" No difference at all years before it has p = {p:.3f}."
    text = (
        "Effect by years since treatment, against the last year before it. Bars are intervals of single years, the band"
        f" holds all of them at once.{trend}"
    )
    chart = pictures.event_plot(table, answer.question.outcome)
    return [
        Section(
            "By year", [text], [Table("Event study", tuple(map(str, table)), rows)], [Picture("Event study", chart)]
        ),
    ]


def _placebos(answer: Answer) -> list[Section]:
    counts = answer.placebos.counts()
    if not counts and not answer.placebo_outcomes and not answer.placebos.notes:
        return []
    effect = answer.effect
    rows: list[tuple[object, ...]] = [(name, count, beyond) for name, (beyond, count) in counts.items()]
    rows += [(f"outcome {name}", 1, int(each.beyond)) for name, each in answer.placebo_outcomes.items()]
    text = (
        "The same estimate where there is nothing to be found: with dates moved back, with controls drawn as if they"
        " had been treated, with such controls far from every treated unit, and with those near one, where an effect is"
        " spillover. At 95 % about one in twenty lies beyond"
        " its interval by chance."
    )
    texts, drawn = [text, *map(sentence, answer.placebos.notes)], []
    if len(answer.placebos.table):
        larger = int((answer.placebos.table["effect"].abs() >= abs(effect.value)).sum())
        texts.append(f"{larger} of {len(answer.placebos.table)} placebo effects are as large as the effect or larger.")
        chart = pictures.placebo_plot(
            answer.placebos.table, (effect.value, effect.low, effect.high), answer.question.outcome
        )
        drawn.append(Picture("Placebo tests and the effect", chart))
    return [Section("Placebo tests", texts, [Table("Tests", ("test", "made", "beyond the interval"), rows)], drawn)]


def _sensitivity(answer: Answer) -> Section:
    found = answer.sensitivity
    rows = [
        ("Rosenbaum's gamma", number(found.gamma), "odds ratio of treatment within a pair at which p reaches 0.05"),
        ("p without hidden bias", f"{found.p_value:.2g}", "Wilcoxon's signed rank test of pairs, one-sided"),
        ("E-value", number(found.e_value), "risk ratio of a hidden confounder that would explain the effect away"),
        ("E-value of the limit", number(found.e_value_limit), "the same for the limit of the interval nearest to zero"),
    ]
    text = (
        "How strong a difference that was not measured would have to be to explain the effect away; 1 means that any"
        " would do. Rosenbaum's gamma takes pairs as independent, which neighbours are not: it is optimistic where few"
        " blocks hold many pairs."
    )
    return Section("Hidden bias", [text], [Table("Sensitivity", ("measure", "value", "meaning"), rows)])


def _where(answer: Answer, material: Material) -> Section:
    kinds, counts = np.unique(units_table(answer, material)["status"].astype(str), return_counts=True)
    rows = list(zip(kinds.tolist(), counts.tolist(), strict=True))
    others = np.setdiff1d(np.arange(len(material.units.ids)), answer.question.index)
    places = material.units.x[others], material.units.y[others]
    drawn = pictures.unit_map(answer.question.study, answer.matches, places)
    notes = [*material.units.notes, *([] if material.outcomes.from_maps else material.outcomes.notes)]
    return Section(
        "Units",
        list(map(sentence, notes)),
        [Table("Units by what they are", ("status", "units"), rows)],
        [Picture("Map of the units", drawn)],
    )
