"""The job `document`: the ODMAP table and the model card of a map, with its evaluation and its author's answers."""

from collections.abc import Mapping
from typing import Any

from upath import UPath

from sdm_ray.documentation import model_card, odmap
from sdm_ray.documentation.config import DocumentConfig
from sdm_ray.documentation.facts import Facts, gather
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.stores.artefact import read_record
from sdm_ray.stores.files import replacing

ODMAP, CARD = "odmap.csv", "model-card.md"


def run(config: DocumentConfig, job: Job) -> dict[str, Any]:
    """Write `odmap.csv` and `model-card.md`.

    Raises:
        InputError: the map or the evaluation cannot be read.
    """
    place = config.path(config.map)
    evaluation = None if config.evaluation is None else config.path(config.evaluation)
    return write(job.output, gather(place, read_record(place), config.path, evaluation), config.answers)


def write(folder: UPath, facts: Facts, answers: Mapping[str, str] | None = None) -> dict[str, int]:
    """Write both files into a folder; returns how many elements of ODMAP are filled, and by whom."""
    table = odmap.table(facts, answers)
    texts = {ODMAP: table.to_csv(index=False), CARD: model_card.markdown(facts, table)}
    for name, text in texts.items():
        with replacing(folder / name) as draft:
            draft.write_text(text)
    open_elements = table["element"][table["filled_by"] == odmap.OPEN].tolist()
    filled = len(table) - len(open_elements)
    say(f"  {folder / ODMAP}: {filled} of {len(table)} elements filled; the author's: {', '.join(open_elements)}")
    return {"odmap_filled": filled, "odmap_open": len(open_elements)}
