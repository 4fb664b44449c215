"""What all jobs share: keep what is finished, track, make, seal, say where it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import JobConfig
from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.stores import artefact

_NOT_SHAPING = {"run_dir", "output", "tracking"}  # where things lie does not change what they are

AnyJobConfig = TypeVar("AnyJobConfig", bound=JobConfig)


@dataclass(frozen=True)
class Job:
    """One artefact in the making.

    Attributes:
        output: where it is written.
        fingerprint: what it will be sealed with.
        inputs: fingerprint of each artefact read, by name.
        resumed: whether an interrupted attempt for the same fingerprint lies at `output`.
        tracker: the MLflow run.
    """

    output: UPath
    fingerprint: str
    inputs: dict[str, str]
    resumed: bool
    tracker: tracking.Tracker


def execute(name: str, config: AnyJobConfig, run: Callable[[AnyJobConfig, Job], dict[str, Any]], kind: str) -> None:
    """Run a job that writes one artefact.

    A finished artefact of the same configuration and inputs is kept. `run` makes the artefact at `job.output` and
    returns the figures to keep with it; it is sealed only when `run` returns.

    Raises:
        InputError: an artefact that the job reads is missing or unfinished.
    """
    records = {each: artefact.read_record(config.path(each)) for each in config.reads()}
    sources = sorted({source for record in records.values() for source in record.sources})
    plan = Plan(
        output=config.path(config.output),
        kind=kind,
        config=config.model_dump(mode="json", exclude=_NOT_SHAPING),
        inputs={each: record.fingerprint for each, record in records.items()},
        sources=sources,
    )
    if plan.finished():
        say(f"{name}: {plan.output} is finished and unchanged: kept")
        return
    plan.make_ready()
    with tracking.start(config, name) as tracker:
        figures = plan.make(tracker, lambda job: run(config, job))
        say(f"{name}: artefact {plan.output}")
        say(f"{name}: MLflow run {tracker.where}")
        tracker.metrics({key: value for key, value in figures.items() if isinstance(value, int | float)})


@dataclass
class Plan:
    """What one artefact is to be made from."""

    output: UPath
    kind: str
    config: dict[str, Any]
    inputs: dict[str, str]
    sources: list[str]

    @property
    def fingerprint(self) -> str:
        """Hash of kind, configuration and inputs."""
        return artefact.fingerprint(self.kind, self.config, self.inputs)

    def finished(self) -> bool:
        """Whether it is there already, from the same configuration and inputs."""
        record = artefact.find_record(self.output)
        return record is not None and record.fingerprint == self.fingerprint

    def make_ready(self) -> None:
        """Say what will be replaced and why.

        Raises:
            InputError: the place holds something that is no artefact of ours, which is never removed.
        """
        record = artefact.find_record(self.output)
        if record is not None:
            changed = artefact.changed_keys(record.config, self.config)
            changed += [f"input {name}" for name in artefact.changed_keys(record.inputs, self.inputs)]
            say(f"rebuilding {self.output}: changed {', '.join(changed) or 'kind'}")
        elif _holds_foreign_files(self.output):
            raise InputError(f"{self.output}: holds files that are no artefact of sdm-ray; name another output")

    def make(self, tracker: tracking.Tracker, run: Callable[[Job], dict[str, Any]]) -> dict[str, Any]:
        """Make and seal the artefact; returns its figures."""
        resumed = artefact.begin(self.output, self.fingerprint)
        job = Job(self.output, self.fingerprint, self.inputs, resumed, tracker)
        figures = run(job)
        record = artefact.Record(
            kind=self.kind,
            fingerprint=self.fingerprint,
            config=self.config,
            inputs=self.inputs,
            sources=self.sources,
            figures=figures,
            tools=artefact.tool_versions("ray", "torch", "zarr"),
        )
        artefact.seal(self.output, record)
        return figures


def _holds_foreign_files(place: UPath) -> bool:
    return place.is_dir() and not (place / "unfinished.json").exists() and any(place.iterdir())
