"""Runs in MLflow, which is imported here and in `model_registry` alone.

A `Tracker` is a small picklable handle of one MLflow run: the driver hands it to a worker, which logs to the same
run. Where a tracking server fails while a job runs, log entries are lost, never the job.
"""

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upath import UPath

from sdm_ray.config import JobConfig, require_kept
from sdm_ray.errors import InputError
from sdm_ray.model_registry import quiet, register
from sdm_ray.redaction import redacted, redacted_values
from sdm_ray.stores.files import first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)
_SQLITE = "sqlite:///"
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
_MAX_PARAM = 500  # characters of a parameter's value that MLflow's databases take


@dataclass(frozen=True)
class Tracker:
    """One MLflow run.

    Attributes:
        uri: tracking URI, absolute, so that a worker in another folder finds it.
        run_id: the run.
    """

    uri: str
    run_id: str

    @property
    def where(self) -> str:
        """Run id and tracking URI, to be printed."""
        return f"{self.run_id} at {self.uri}"

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names, characters that MLflow refuses `_`, secrets `***`."""
        from mlflow.entities import Param

        flat = [
            Param(_NOT_IN_NAMES.sub("_", key), str(value)[:_MAX_PARAM])
            for key, value in _flatten(redacted_values(values))
        ]
        for start in range(0, len(flat), 100):
            self._try(lambda client, part=flat[start : start + 100]: client.log_batch(self.run_id, params=part))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log figures at a step; values that are not finite are left out.

        Characters that MLflow refuses in names become `_`.
        """
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [
            Metric(_NOT_IN_NAMES.sub("_", key), float(value), now, step)
            for key, value in values.items()
            if isinstance(value, int | float) and value == value and abs(value) != float("inf")
        ]
        self._try(lambda client: client.log_batch(self.run_id, metrics=batch))

    def text(self, text: str, name: str) -> None:
        """Log a text file."""
        self._try(lambda client: client.log_text(self.run_id, text, name))

    def picture(self, path: Path | UPath) -> None:
        """Log one file under `pictures/`."""
        self._upload(UPath(path), "pictures")

    def file(self, path: Path | UPath, under: str) -> None:
        """Log one file under a folder of the run."""
        self._upload(UPath(path), under)

    def folder(self, path: UPath, name: str) -> None:
        """Log every file of a folder under `name/`."""
        for file in sorted(path.rglob("*")):
            if file.is_file():
                inner = Path(str(file.relative_to(path))).parent
                self._upload(file, str(Path(name) / inner))

    def model(self, folder: UPath, loader: str, columns: Mapping[str, bool], name: str) -> None:
        """Log a model folder as an MLflow pyfunc model that can be loaded and served, and register it.

        Args:
            folder: the model folder; its subfolders are left out.
            loader: module with the function `_load_pyfunc`.
            columns: numeric column of a table to predict -> whether it is required.
            name: registered name, after the experiment's.
        """
        self._try(lambda client: register(client, self.run_id, folder, loader, columns, name))

    @contextlib.contextmanager
    def child(self, name: str) -> Iterator["Tracker"]:
        """A nested run while a block runs; where the server opens none, entries go to this run instead.

        It is closed with the block: as finished, as failed after an error, or as killed where Ray Tune or a person
        ends the block.
        """
        try:
            client = _client(self.uri)
            parent = client.get_run(self.run_id)
            tags = {"mlflow.parentRunId": self.run_id, "mlflow.runName": name, "mlflow.source.name": "sdm-ray"}
            own = Tracker(self.uri, client.create_run(parent.info.experiment_id, tags=tags).info.run_id)
        except Exception as error:
            _log.warning("%s", redacted(f"MLflow at {self.uri} opened no nested run: {first_line(error)}"))
            yield self
            return
        status = "FAILED"
        try:
            yield own
            status = "FINISHED"
        except (SystemExit, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            own._try(lambda client: client.set_terminated(own.run_id, status))

    def close_children(self) -> None:
        """Close the nested runs that are still open: of trials whose process was stopped or lost."""
        self._try(self._close_children)

    def _close_children(self, client: "MlflowClient") -> None:
        experiment = client.get_run(self.run_id).info.experiment_id
        wanted = f"tags.mlflow.parentRunId = '{self.run_id}' and attributes.status = 'RUNNING'"
        while found := client.search_runs([experiment], wanted, max_results=1000):
            for run in found:
                client.set_terminated(run.info.run_id, "KILLED")

    def require_reachable(self, nodes: Sequence[Mapping[str, Any]], cpus: float = 1.0) -> None:
        """See that ranks and trials on other machines reach the run, whose figures would vanish else.

        Args:
            nodes: of the cluster, as `ray.nodes()` tells them.
            cpus: that the work takes at once.

        Raises:
            InputError: the tracking URI is a file of one machine, and there are several, or one that is too small for
                the work, beside which others will join.
        """
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        alone = len(alive) == 1 and alive[0].get("CPU", 0) >= cpus
        if not alone and self.uri.startswith(_SQLITE):
            found = f"{len(alive)} nodes" if len(alive) > 1 else f"to grow beyond one node for {cpus:g} CPUs"
            raise InputError(
                f"tracking.uri: {self.uri} is a file of one machine, and the cluster has {found}: figures of other"
                " nodes would be lost; expected a server, http(s)://…, in MLFLOW_TRACKING_URI"
            )

    def _upload(self, path: UPath, under: str) -> None:
        if path.protocol in ("", "file", "local"):
            self._try(lambda client: client.log_artifact(self.run_id, str(path), under))
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            local.write_bytes(path.read_bytes())
            self._try(lambda client: client.log_artifact(self.run_id, str(local), under))

    def _try(self, action: Any) -> None:  # noqa: ANN401 - a callable on the client
        try:
            action(_client(self.uri))
        except Exception as error:
            _log.warning("%s", redacted(f"MLflow at {self.uri} did not take an entry: {first_line(error)}"))


@contextlib.contextmanager
def start(config: JobConfig, job: str, kept: str | None = None) -> Iterator[Tracker]:
    """Open a run for a job, log its configuration and close it as finished or failed.

    Args:
        config: of the job.
        job: its name.
        kept: run of the attempt that this one continues; where MLflow still has it, it is continued as well, so that
            curves go on and nested runs keep their parent.

    Raises:
        InputError: the tracking URI does not answer, or names a place that would be lost.
    """
    require_kept(config.tracking.uri.removeprefix(_SQLITE), "MLFLOW_TRACKING_URI")
    uri = _absolute(config.tracking.uri)
    name = config.tracking.experiment or UPath(config.run_dir).name
    try:
        client = _client(uri)
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name, _files_of(uri, name))
        tags = {"mlflow.source.name": "sdm-ray", "mlflow.runName": f"{job} {config.output}".strip()}
        run_id = kept if kept and _continued(client, kept) else client.create_run(number, tags=tags).info.run_id
        if ray_job := submission_id():
            client.set_tag(run_id, "ray_job_id", ray_job)
    except Exception as error:
        raise InputError(f"tracking.uri: {uri} does not answer ({str(error).splitlines()[0]})") from None
    tracker = Tracker(uri, run_id)
    values = redacted_values(config.model_dump(mode="json"))
    if run_id != kept:  # MLflow refuses another value for a parameter; what shapes the result has not changed
        tracker.params(values)
    tracker.text(_yaml(values), "config.yaml")
    try:
        yield tracker
    except BaseException:
        tracker._try(lambda client: client.set_terminated(run_id, "FAILED"))
        raise
    tracker._try(lambda client: client.set_terminated(run_id, "FINISHED"))


def _continued(client: "MlflowClient", run_id: str) -> bool:
    """Open a run again; whether it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, "RUNNING")
    except MlflowException:
        return False
    return True


def submission_id() -> str | None:
    """The id of the Ray job that this process is the driver of (`ray job submit`), None outside of one."""
    about = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(about or "{}").get("metadata", {}).get("job_submission_id")
    return None


def _client(uri: str) -> "MlflowClient":
    # A server that does not answer is given up after seconds, not after MLflow's minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient

    quiet()
    return MlflowClient(uri)


def _absolute(uri: str) -> str:
    if uri.startswith(_SQLITE):
        return _SQLITE + os.path.abspath(uri.removeprefix(_SQLITE))
    return uri


def _files_of(uri: str, experiment: str) -> str | None:
    """Where a local experiment keeps its files: beside the database; a server decides for itself."""
    if not uri.startswith(_SQLITE):
        return None
    return str(Path(uri.removeprefix(_SQLITE)).parent / "mlruns" / experiment)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(values), sort_keys=False)
