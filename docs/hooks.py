"""What MkDocs writes from the code: configuration reference, API pages, format versions and the notebook's page."""

import base64
import json
import os
import pkgutil
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import sdm_ray
from sdm_ray import config_keys
from sdm_ray.jobs import JOBS, config_class
from sdm_ray.stores.formats import FORMATS

ROOMS = [
    ("geo", "Grids, windows, blocks and folds: arithmetic, no files."),
    ("stores", "The project's formats on disk."),
    ("readers", "Tables, polygons and vectors as people have them."),
    ("sources", "The data sets that `prepare` reads."),
    ("streams", "Samplers, datasets and batches."),
    ("models", "Encoders, towers, losses and heads in plain torch."),
    ("metrics", "Ranking, calibration, species sets, retrieval, block bootstrap."),
    ("baselines", "Random forest, gradient boosting, logistic regression, MaxEnt."),
    ("plots", "Charts, maps and the HTML report."),
    ("training", "The training engine and the jobs `pretrain`, `finetune`, `tune` and `compare`."),
    ("evaluation", "The job `evaluate`."),
    ("documentation", "The job `document`: the ODMAP table and the model card of a map."),
    ("mapping", "The jobs `map`, `embed`, `export` and `predict`."),
    ("indicators", "The job `indicators`."),
    ("survey_design", "The job `sample`: where to survey next."),
    ("init", "The command `init`: configurations for a person's own table and rasters."),
    ("impact", "The job `impact`: matched controls, before-after-control-impact estimates and their checks."),
    ("viewer", "The page that shows a map, and its server."),
]
TOP_LEVEL = (
    "predictor",
    "batch",
    "jobs",
    "job",
    "config",
    "input_paths",
    "config_keys",
    "model_io",
    "tracking",
    "ray_runtime",
    "ray_tasks",
    "ray_workers",
)
DOCS = Path(__file__).parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    top = "Modules outside the rooms; `sdm_ray.load_model` is `sdm_ray.predictor.load_model`."
    add = {"reference/configuration.md": configuration(), "notebook.md": notebook(DOCS / "notebook.ipynb")}
    add |= {f"reference/api/{room}.md": api(room, about, _modules(room)) for room, about in ROOMS}
    add["reference/api/sdm_ray.md"] = api("Top level", top, [f"sdm_ray.{name}" for name in TOP_LEVEL])
    for place, text in add.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table of format versions where a page asks for it."""
    return markdown.replace("<!-- versions -->", versions())


def versions() -> str:
    """Kind, version and jobs of every artefact."""
    rows = ["| kind | written | read | by |", "|---|---|---|---|"]
    for kind, each in FORMATS.items():
        rows.append(f"| {kind} | {each.version} | {each.read} | {', '.join(f'`{job}`' for job in each.jobs)} |")
    return "\n".join(rows)


def notebook(file: Path) -> str:
    """A notebook as a page: text, code, and what the code printed and drew."""
    lines: list[str] = []
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        lines += [source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```", ""]
        for output in cell.get("outputs", []):
            lines += [*_shown(output), ""]
    return "\n".join(lines)


def _shown(output: dict) -> list[str]:
    data = output.get("data", {})
    if "image/png" in data:
        picture = base64.b64encode(base64.b64decode("".join(data["image/png"]))).decode()
        return [f'<img alt="what the cell draws" src="data:image/png;base64,{picture}">']
    text = "".join(data.get("text/plain", output.get("text", "")))
    return [f"```text\n{text.rstrip()}\n```"] if text else []


def configuration() -> str:
    """The configuration reference: a table of keys for each job, then one for each class that the keys' values have."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # a default that the environment changes
    jobs = {name: config_class(name) for name in JOBS}
    parts = {each.__name__: each for owner in jobs.values() for each in config_keys.inner_classes(owner)}
    lines = [
        "# Configuration",
        "",
        "Every job reads one YAML file. An unknown key, a wrong type or a missing value is an error of one line that"
        " names the file and the key. `${NAME}` in a text is replaced by an environment variable, and"
        " `key.inner=value` on the command line replaces a value of the file. This page is written from the"
        " configuration classes.",
        "",
        "## Jobs",
    ]
    for name, owner in jobs.items():
        lines += ["", f"### {name}", "", *_about(owner), "", *_table(owner, parts)]
    lines += ["", "## Parts", "", "The classes that the tables above name, in alphabetical order."]
    for name in sorted(parts):
        lines += ["", f"### {name}", "", *_about(parts[name]), "", *_table(parts[name], parts)]
    return "\n".join(lines) + "\n"


def _about(owner: type) -> list[str]:
    return [f"{config_keys.summary(owner)} (`{owner.__module__}`)"]


def _table(owner: type, parts: dict[str, type]) -> list[str]:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in config_keys.keys(owner):
        kind = re.sub(r"\b[A-Z]\w+\b", lambda word: _linked(word[0], parts), key.kind)
        default = f"`{key.default}`" if key.default else "required"
        rows.append(f"| `{key.name}` | {kind} | {default} | {key.about} |")
    return rows


def _linked(word: str, parts: dict[str, type]) -> str:
    return f"[{word}](#{word.lower()})" if word in parts else word


def api(title: str, about: str, modules: list[str]) -> str:
    """A page with a heading for each module, below it its docstrings."""
    lines = [f"# {title}", "", about]
    for name in modules:
        lines += ["", f"## `{name}`", "", f"::: {name}", "    options:", "      show_root_heading: false"]
    return "\n".join(lines) + "\n"


def _modules(room: str) -> list[str]:
    folder = Path(sdm_ray.__path__[0]) / room
    found = pkgutil.walk_packages([str(folder)], f"sdm_ray.{room}.")
    return sorted(each.name for each in found if not each.ispkg)
