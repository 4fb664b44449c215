"""Models in MLflow: logged and registered from a model folder, and fetched again as one."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.version import __version__

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(
    client: "MlflowClient", run_id: str, folder: UPath, loader: str, columns: Mapping[str, bool], name: str
) -> None:
    """Log a model folder to a run as a pyfunc model, and register it (see `Tracker.model`)."""
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # it misses pip in environments of uv
    run = client.get_run(run_id)
    schema = Schema([ColSpec("double", column, required=must) for column, must in columns.items()])  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as place:
        data, made = Path(place) / name, Path(place) / "pyfunc"
        data.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                (data / file.name).write_bytes(file.read_bytes())
        with warnings.catch_warnings(action="ignore"):  # MLflow would like an example of a table
            pyfunc.save_model(
                made,
                loader_module=loader,
                data_path=str(data),
                signature=ModelSignature(inputs=schema),
                pip_requirements=[f"sdm-ray=={__version__}"],
            )
        client.log_artifacts(run_id, str(made), "model")
    registered = f"{client.get_experiment(run.info.experiment_id).name}-{name}"
    with contextlib.suppress(MlflowException):  # it is there already
        client.create_registered_model(registered)
    client.create_model_version(registered, f"runs:/{run_id}/model", run_id)


def quiet() -> None:
    """Have MLflow tell of warnings alone; called once it is imported, which sets levels of its own."""
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def fetch(uri: str) -> UPath:
    """The files of a model that was logged, by its address `runs:/…` or `models:/…` or that of its artefacts.

    Raises:
        InputError: MLflow does not have it.
    """
    import yaml
    from mlflow.artifacts import download_artifacts

    quiet()
    try:
        place = UPath(download_artifacts(artifact_uri=uri))
    except Exception as error:
        raise InputError(f"{uri}: MLflow does not have it ({str(error).splitlines()[0]})") from None
    about = place / "MLmodel"
    return place / yaml.safe_load(about.read_text())["flavors"]["python_function"]["data"] if about.exists() else place
