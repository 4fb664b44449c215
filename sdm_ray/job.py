"""What all jobs share: keep what is finished, track, make, seal, say where it is."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import JobConfig
from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.stores import artefact
from sdm_ray.stores.formats import format_of

_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
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

    A finished artefact of the same configuration and inputs is kept, and one of others made anew, unless the
    configuration has an `overwrite` that is not set. `run` makes the artefact at `job.output` and returns the figures
    to keep with it; it is sealed only when `run` returns.

    Raises:
        InputError: an artefact that the job reads is missing or unfinished, a file is missing, or an artefact would
            be lost.
    """
    records = {each: artefact.read_record(config.path(each)) for each in config.reads()}
    sources = sorted({source for record in records.values() for source in record.sources})
    plan = Plan(
        output=config.path(config.output),
        kind=kind,
        config=config.model_dump(mode="json", exclude=_NOT_SHAPING),
        inputs={
            **{each: record.fingerprint for each, record in records.items()},
            **{each: artefact.fingerprint(artefact.identity(UPath(each))) for each in config.reads_files()},
        },
        sources=sources,
    )
    if plan.finished():
        say(f"{name}: {plan.output} is finished and unchanged: kept")
        return
    plan.make_ready(overwrite=getattr(config, "overwrite", True))
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
        """Whether it is there already, from the same configuration and inputs, in a version that is read."""
        record = artefact.find_record(self.output, outdated=True)
        return record is not None and record.fingerprint == self.fingerprint and not record.outdated

    def make_ready(self, *, overwrite: bool = True) -> None:
        """Say what will be replaced and why.

        Raises:
            InputError: the place holds something that is no artefact of ours, which is never removed, or one that was
                made from something else, finished or not, and is not to be overwritten.
        """
        record = artefact.find_record(self.output, outdated=True)
        before = record or artefact.find_beginning(self.output)
        version = format_of(self.kind).version
        outdated = record.outdated if record else before is not None and before.format_version != version
        if before is None:
            if _holds_files(self.output):
                raise InputError(f"{self.output}: holds files that are no artefact of sdm-ray; name another output")
        elif before.fingerprint != self.fingerprint or outdated:
            changed = ["format version"] if outdated else []
            changed += artefact.changed_keys(before.config, self.config)
            changed += [f"input {name}" for name in artefact.changed_keys(before.inputs, self.inputs)]
            named = ", ".join(changed) or "kind"
            if not overwrite and (record is not None or artefact.has_begun(self.output)):
                state = "made" if record is not None else "begun"
                raise InputError(
                    f"{self.output}: was {state} with another {named}; name another output, or start anew with"
                    " --overwrite"
                )
            say(f"rebuilding {self.output}: changed {named}")

    def make(self, tracker: tracking.Tracker, run: Callable[[Job], dict[str, Any]]) -> dict[str, Any]:
        """Make and seal the artefact; returns its figures.

        Raises:
            InputError: the disk is full, or nothing may be written there.
        """
        beginning = artefact.Beginning(
            fingerprint=self.fingerprint,
            format_version=format_of(self.kind).version,
            config=self.config,
            inputs=self.inputs,
        )
        with _writable(self.output):
            resumed = artefact.begin(self.output, beginning)
            figures = run(Job(self.output, self.fingerprint, self.inputs, resumed, tracker))
        record = artefact.Record(
            kind=self.kind,
            fingerprint=self.fingerprint,
            config=self.config,
            inputs=self.inputs,
            sources=self.sources,
            figures=figures,
            tools=artefact.tool_versions("ray", "torch", "zarr"),
        )
        with _writable(self.output):
            artefact.seal(self.output, record)
        return figures


@contextmanager
def _writable(place: UPath) -> Iterator[None]:
    """Turn what keeps a place from being written into one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise InputError(
            f"{place}: cannot be written ({error.strerror}); what is finished is kept, run the job again for the rest"
        ) from None


def _holds_files(place: UPath) -> bool:
    return place.is_dir() and any(place.iterdir())
