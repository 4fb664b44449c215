"""The order in which the jobs of a folder run."""

import pytest

from sdm_ray import jobs
from sdm_ray.config import JobConfig
from sdm_ray.errors import InputError


class Step(JobConfig):
    needs: tuple[str, ...] = ()

    def reads(self) -> list[str]:
        return list(self.needs)


def step(output: str, *needs: str) -> Step:
    return Step(output=output, needs=needs)


def test_a_job_comes_behind_those_whose_artefacts_it_reads():
    configs = {
        "prepare": step("surveys.parquet"),
        "finetune": step("model", "surveys.parquet"),
        "finetune-coordinates": step("model-coordinates", "surveys.parquet"),
        "evaluate": step("evaluation", "map-crossfit.zarr", "surveys.parquet"),
        "map": step("map.zarr", "model"),
        "map-crossfit": step("map-crossfit.zarr", "model"),
    }
    order = jobs.in_order(configs)
    assert order == ["prepare", "finetune", "finetune-coordinates", "map-crossfit", "evaluate", "map"]


def test_artefacts_that_no_job_of_the_folder_writes_are_left_to_be_found_there():
    assert jobs.in_order({"map": step("map.zarr", "model")}) == ["map"]


def test_jobs_that_need_each_other_are_named():
    configs = {"map": step("a", "b"), "indicators": step("b", "a")}
    with pytest.raises(InputError, match=r"map\.yaml and indicators\.yaml"):
        jobs.in_order(configs)


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_jobs_is_one_line(tmp_path, make):
    folder = tmp_path / "none"
    if make:
        folder.mkdir()
        (folder / "notes.yaml").write_text("a: 1")
    with pytest.raises(InputError, match=r"no such folder|holds no job"):
        jobs.run_folder(folder)


def test_every_job_has_its_configuration_its_function_and_its_script():
    for name, entry in jobs.JOBS.items():
        assert issubclass(jobs._named(entry.config), JobConfig)
        assert callable(jobs._named(entry.run))
        assert f'job_main("{name}")' in (jobs.shipped_configs().parent / "jobs" / f"{name}.py").read_text()
