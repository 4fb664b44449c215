"""Documentation that cannot rot in silence: every command, path, module and YAML key that a page names exists."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from sdm_ray import __version__, config_keys, jobs
from sdm_ray.cli import app, as_overrides
from sdm_ray.config import load

ROOT = jobs.shipped_configs().parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "cluster/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
FILES = r"sdm_ray\.|.*\.(zarr|json|yaml|toml|csv|txt|html|png|parquet|py|safetensors|db|nc)$"
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
PLACES = r"(?:configs|docs|jobs|tests|sdm_ray|cluster|\.ci)/[^\s`,;:)]+"
EXECUTED = (
    "mkdir -p configs/mine && cp ",
    "uv run sdm-ray init mine ",
    "uv run sdm-ray run mine",
)  # by test_own_data.py
COPIED = {"configs/mine/": "configs/examples/", "runs/demo/tune/best.yaml": "configs/demo/finetune.yaml"}
CLASSES = [jobs.config_class(name) for name in jobs.JOBS]
CLASSES += [inner for owner in CLASSES for inner in config_keys.inner_classes(owner)]
KEYS = {owner.__name__: {key.name: key.kind for key in config_keys.keys(owner)} for owner in CLASSES}


def text(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def spans(page: Path) -> list[str]:
    outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def commands(page: Path) -> list[str]:
    """Lines of shell blocks without comments, and commands on a file in running text."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [span for span in spans(page) if re.match(r"uv run (python tests|sdm-ray \w+ \S+/)", span)]
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in lines) if line]


def listed_by_hand() -> dict[str, str]:
    """Commands that no test runs -> the day on which each was run."""
    table = re.findall(r"^\| (.*`.*) \| (\d{4}-\d\d-\d\d) \|$", text("docs/figures.md"), re.M)
    return {" ".join(span.split()): day for cell, day in table for span in re.findall(r"`([^`]+)`", cell)}


def job_words(command: str) -> list[str] | None:
    words = shlex.split(command.removeprefix("uv run "))
    return words[1:] if words[:1] == ["sdm-ray"] else None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_is_valid_or_listed_with_the_day_that_it_was_run(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SDM_RAY_DATA", str(tmp_path))
    monkeypatch.chdir(ROOT)
    for command in commands(page):
        words = job_words(command)
        if command.startswith((*EXECUTED, "export ")):
            continue
        if words is None:
            assert command in listed_by_hand(), f"docs/figures.md does not list {command!r} with the day of its run"
        elif words[0] in jobs.JOBS:
            job, place, *overrides = words
            for written, real in COPIED.items():
                place = place.replace(written, real)
            load(place, jobs.config_class(job), as_overrides(overrides))
        elif words[0] == "view":  # that it serves is tested in tests/viewer
            context = typer.main.get_command(app).commands["view"].make_context("view", words[1:])
            assert all(re.fullmatch(r"\S+\.zarr", place) for place in context.params["maps"])
        else:
            folder = {"run": words[-1], "demo": "configs/demo"}[words[0]]
            found = jobs._find(Path(folder))
            configs = {stem: load(file, jobs.config_class(job)) for stem, (job, file) in found.items()}
            assert sorted(jobs.in_order(configs)) == sorted(found)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_and_link_is_there(page):
    words = " ".join([*spans(page), *(line for block in blocks(page, "sh") for line in block.splitlines())])
    for place in re.findall(rf"(?<![\w/.$]){PLACES}", words):
        if not re.search(r"[<{*]|configs/mine", place):
            assert (ROOT / place.rstrip(".")).exists(), f"{page.name} names {place}"
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        generated = target.removeprefix("../") in ("reference/configuration.md", "notebook.md")
        assert "://" in target or generated or (page.parent / target).exists(), f"{page.name} links {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_module_is_there(page):
    for name in re.findall(r"(?<![/\w])sdm_ray(?:\.\w+)+", page.read_text()):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute) or importlib.import_module(name), name


def has_key(dotted: str, owners: list[str]) -> bool:
    name, _, rest = dotted.partition(".")
    for kind in (KEYS[owner][name] for owner in owners if name in KEYS[owner]):
        inner = [word for word in re.findall(r"\w+", kind) if word in KEYS]
        rest = rest.partition(".")[2] if kind.startswith("mapping") else rest
        if not rest or has_key(rest, inner):
            return True
    return False


def keys_of(values: dict, above: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        inner = next((each for each in value if isinstance(each, dict)), {}) if isinstance(value, list) else value
        found += keys_of(inner, f"{above}{name}.") if isinstance(inner, dict) and inner else [f"{above}{name}"]
    return found


@pytest.mark.parametrize("page", [each for each in PAGES if each.name != "CHANGELOG.md"], ids=lambda each: each.name)
def test_every_yaml_key_is_known(page):
    for block in blocks(page, "yaml"):
        job = re.match(r"# (\w+)\.yaml\n", block)
        assert job, f"{page.name}: a YAML block does not begin with the name of its file: {block}"
        for key in keys_of(yaml.safe_load(block)):
            assert has_key(key, [jobs.config_class(job[1]).__name__]), key
    for span in spans(page):
        key = re.fullmatch(r"([a-z_]+(?:\.[a-z_]+)+)(?:=.*)?|([a-z_.]+): .*", span)
        if key and not re.match(FILES, span):
            assert has_key(key[1] or key[2], list(KEYS)), f"{page.name} names the key {span!r}"


def test_a_key_that_is_not_there_would_be_found():
    assert has_key("forest.distillation_weight", ["FinetuneConfig"])
    assert has_key("scales.satellite.tower.dim", ["PretrainConfig"])
    assert not has_key("forest.teach", ["FinetuneConfig"])
    assert not has_key("blocks.select", list(KEYS))


def test_the_readme_is_short_and_shows_the_commands_the_jobs_and_pictures_that_are_small():
    readme = text("README.md")
    assert len(readme.splitlines()) <= 150
    assert "pip install uv && uv run sdm-ray demo" in readme and "\nuv run pytest" in readme
    assert all(f"| `sdm-ray {name} CONFIG` |" in readme for name in jobs.JOBS)
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", readme)
    assert len(pictures) == 4
    assert all(0 < (ROOT / picture).stat().st_size < 150_000 for picture in pictures)


def test_places_without_records_are_said_beside_every_map_of_europe():
    for page in PAGES:
        for caption in re.findall(r"\(\S*fagus-sylvatica\.png\)\n\n\*(.+?)\*\n\n", page.read_text(), re.S):
            assert all(country in caption for country in ("France", "Germany", "Spain", "Finland")), page


ANSWERS = {
    "sdm_ray/geo/grid.py": "def to_lonlat",
    "sdm_ray/geo/codes.py": "def ",
    "sdm_ray/geo/blocks.py": "class Role",
    "sdm_ray/sources/occurrences/gbif.py": "decimalLongitude",
    "sdm_ray/sources/sentinel2/compositing.py": "medoid",
    "sdm_ray/streams/sampler.py": "epoch",
    "sdm_ray/models/species_losses.py": "def ",
    "sdm_ray/training/engine/trainer.py": "patience",
    "sdm_ray/training/engine/checkpointing.py": "checkpoint",
    "sdm_ray/baselines/random_forest.py": "max_features",
    "sdm_ray/mapping/quality_layers.py": "LAYERS",
    "sdm_ray/jobs.py": "JOBS",
}


def test_the_ten_questions_of_contributing_are_answered_by_files_that_hold_what_is_asked():
    section = text("CONTRIBUTING.md").partition("## Where would you change")[2].partition("\n## ")[0]
    questions = re.findall(r"^\d+\. (.+?)(?=^\d+\. |\Z|\n\n)", section, re.M | re.S)
    assert len(questions) == 10
    named = [place for question in questions for place in re.findall(r"`([^`]+)`", question)]
    assert sorted(named) == sorted(ANSWERS)
    for place, expected in ANSWERS.items():
        assert expected in text(place), place


def test_the_layers_of_contributing_are_those_that_are_checked():
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    shown = re.search(r"^```text\n(cli .*?)```", text("CONTRIBUTING.md"), re.M | re.S)[1]
    assert shown.split() == " > ".join(layers).replace("sdm_ray.", "").split()


def test_every_source_is_on_the_page_of_data():
    kinds = [keys["source"] for keys in KEYS.values() if "source" in keys]
    sources = {name for kind in kinds for name in re.findall(r"`(\w+)`", kind)}
    table = text("docs/steps/data.md").partition("## Sources")[2].partition("\n## ")[0]
    assert {"tables", "virtual"} < sources <= set(re.findall(r"`(\w+)`", table))


def test_one_version_everywhere():
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version == __version__
    assert re.search(r"^## (.+)$", text("CHANGELOG.md"), re.M)[1] == version


def test_the_changelog_names_every_renamed_key():
    renamed = {old: new for owner in CLASSES for old, new in getattr(owner, "old_keys", {}).items()}
    rows = re.findall(r"^ *\| `([^`]+)`.* \| `([^`]+)` \|$", text("CHANGELOG.md"), re.M)
    said = {old.rpartition(".")[2]: new.rpartition(".")[2] for old, new in rows}
    assert renamed.items() <= said.items()
