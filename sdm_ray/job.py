"""What every job does around its work: keep a finished artefact, track, write, seal and report it."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import JobConfig
from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.redaction import redacted_values
from sdm_ray.stores import artefact
from sdm_ray.stores.files import remove_drafts
from sdm_ray.stores.formats import format_of

_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_NOT_SHAPING = {"run_dir", "output", "tracking"}  # where things lie does not change what they are

AnyJobConfig = TypeVar("AnyJobConfig", bound=JobConfig)


@dataclass(frozen=True)
class Job:
    """The artefact that a job is writing.

    Attributes:
        output: its folder, file or URL.
        fingerprint: hash of kind, configuration and inputs, written into its record.
        inputs: fingerprint of each artefact read, by name.
        resumed: whether `output` holds an interrupted attempt with the same fingerprint.
        tracker: the MLflow run.
        sources: data sources with their licences, of all inputs.
    """

    output: UPath
    fingerprint: str
    inputs: dict[str, str]
    resumed: bool
    tracker: tracking.Tracker
    sources: Sequence[str] = ()


def execute(name: str, config: AnyJobConfig, run: Callable[[AnyJobConfig, Job], dict[str, Any]], kind: str) -> None:
    """Run a job that writes one artefact.

    A finished artefact with the same configuration and inputs is kept; one made from others is replaced, unless the
    configuration has an `overwrite` that is not set. `run` writes the artefact to `job.output` and returns the figures
    for its record; the record is written only once `run` has returned.

    Raises:
        InputError: an artefact that the job reads is missing or unfinished, a file is missing, or an artefact would
            be lost.
    """
    records = {each: artefact.read_record(config.path(each)) for each in config.reads()}
    inherited = {source for record in records.values() for source in record.sources}
    sources = sorted(inherited | set(config.stated_sources()))
    plan = Plan(
        output=config.path(config.output),
        kind=kind,
        config=redacted_values(config.model_dump(mode="json", exclude=_NOT_SHAPING)),
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
    for each in artefact.disagreements(records):
        say(f"{name}: {each}: make it again where both must fit")
    with tracking.start(config, name, plan.begun_run()) as tracker:
        figures = plan.make(tracker, lambda job: run(config, job))
        say(f"{name}: artefact {plan.output}")
        say(f"{name}: MLflow run {tracker.where}")
        tracker.metrics({key: value for key, value in figures.items() if isinstance(value, int | float)})


@dataclass
class Plan:
    """What one artefact is made from."""

    output: UPath
    kind: str
    config: dict[str, Any]
    inputs: dict[str, str]
    sources: list[str]
    companions: tuple[str, ...] = ()
    """Names of the files beside a Parquet file that belong to it."""

    @property
    def fingerprint(self) -> str:
        """Hash of kind, configuration and inputs."""
        return artefact.fingerprint(self.kind, self.config, self.inputs)

    def finished(self) -> bool:
        """Whether it is there already, whole, from the same configuration and inputs, in a version that is read."""
        record = artefact.find_record(self.output, outdated=True)
        if record is None or record.fingerprint != self.fingerprint or record.outdated:
            return False
        return not artefact.changed_files(self.output, record)

    def begun_run(self) -> str | None:
        """The MLflow run of an interrupted attempt that can be continued."""
        before = None if self.output.suffix == ".parquet" else artefact.find_beginning(self.output)
        return before.run if before and artefact.mark(before) == artefact.mark(self._beginning()) else None

    def _beginning(self, run: str | None = None) -> artefact.Beginning:
        return artefact.Beginning(
            fingerprint=self.fingerprint,
            format_version=format_of(self.kind).version,
            config=self.config,
            inputs=self.inputs,
            run=run,
        )

    def make_ready(self, *, overwrite: bool = True) -> None:
        """Report what will be replaced and why.

        Raises:
            InputError: the place holds something that is no artefact of ours, which is never removed, or one that was
                made from something else, finished or not, and is not to be overwritten.
        """
        record = artefact.find_record(self.output, outdated=True)
        before = record or artefact.find_beginning(self.output)
        version = format_of(self.kind).version
        outdated = record.outdated if record else before is not None and before.format_version != version
        damaged = artefact.changed_files(self.output, record) if record else []
        if before is None:
            if _holds_files(self.output):
                raise InputError(f"{self.output}: holds files that are no artefact of sdm-ray; name another output")
        elif before.fingerprint != self.fingerprint or outdated or damaged:
            changed = ["format version"] if outdated else []
            changed += artefact.changed_keys(before.config, self.config)
            changed += [f"input {name}" for name in artefact.changed_keys(before.inputs, self.inputs)]
            changed += [f"file {name}" for name in damaged]
            named = ", ".join(changed) or "kind"
            if not overwrite and (record is not None or artefact.has_begun(self.output)):
                state = "made" if record is not None else "begun"
                raise InputError(
                    f"{self.output}: was {state} with another {named}; name another output, or start anew with"
                    " --overwrite"
                )
            say(f"rebuilding {self.output}: changed {named}")
            others = artefact.made_from(self.output.parent, before.fingerprint) if record is not None else []
            if others and before.fingerprint != self.fingerprint:
                say(f"  made from what is replaced, and out of date until made again: {', '.join(others)}")

    def make(self, tracker: tracking.Tracker, run: Callable[[Job], dict[str, Any]]) -> dict[str, Any]:
        """Write and seal the artefact; returns its figures.

        Raises:
            InputError: the disk is full, or nothing may be written there.
        """
        with _writable(self.output):
            resumed = artefact.begin(self.output, self._beginning(tracker.run_id))
            figures = run(Job(self.output, self.fingerprint, self.inputs, resumed, tracker, self.sources))
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
            remove_drafts(self.output)
            files = artefact.contents(self.output, self.companions)
            artefact.seal(self.output, record.model_copy(update={"files": files}))
        return figures


@contextmanager
def _writable(place: UPath) -> Iterator[None]:
    """Report in one line why a place cannot be written."""
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
