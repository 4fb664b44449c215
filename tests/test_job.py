"""What every job does around its work."""

import os

import pytest
from pydantic import Field

from sdm_ray import job
from sdm_ray.config import JobConfig, TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.stores import artefact


class Copy(JobConfig):
    output: str = "copy"
    source: str | None = None
    text: str = "a"
    weights: str | None = None

    def reads_files(self) -> list[str]:
        return [self.weights] if self.weights else []

    def reads(self) -> list[str]:
        return [self.source] if self.source else []


class Precious(Copy):
    overwrite: bool = Field(default=False, exclude=True)


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture
def make(tmp_path, uri):
    """Run the copying job in a folder; the list it returns grows by one for each time work was done."""
    done: list[str] = []

    def run(config: Copy, task: job.Job) -> dict:
        done.append(config.output)
        (task.output / "text").write_text(config.text)
        if config.text == "fail":
            raise OSError("disk full")
        return {"letters": len(config.text)}

    def call(kind: type[Copy] = Copy, **values: object) -> list[str]:
        config = kind(run_dir=str(tmp_path), tracking=TrackingConfig(uri=uri), **values)
        job.execute("copy", config, run, "copy")
        return done

    return call


def test_a_finished_job_is_kept_until_its_configuration_changes(make, capsys):
    make(text="abc")
    assert len(make(text="abc")) == 1
    assert "kept" in capsys.readouterr().out
    assert len(make(text="abcd")) == 2
    assert "changed text" in capsys.readouterr().out


def test_what_is_kept_is_whole(make, tmp_path, capsys):
    make(text="abc")
    (tmp_path / "copy" / "text").write_text("abd")
    capsys.readouterr()
    assert len(make(text="abc")) == 2
    assert "changed file text" in capsys.readouterr().out
    (tmp_path / "copy" / "text").unlink()
    with pytest.raises(InputError, match=r"copy: was made with another file text; .*--overwrite"):
        make(Precious, text="abc")
    assert len(make(text="abc")) == 3


def test_a_change_of_an_input_is_seen(make, tmp_path):
    make(output="first", text="one")
    make(output="second", source="first")
    assert len(make(output="second", source="first")) == 2
    make(output="first", text="other")
    assert len(make(output="second", source="first")) == 4


def test_what_was_made_from_an_artefact_is_named_when_that_is_replaced(make, tmp_path, capsys):
    make(output="land.zarr", text="one")
    make(output="map.zarr", source="land.zarr")
    make(output="model", source="land.zarr")
    make(output="other", text="two")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "artefact.json").write_text("{")
    capsys.readouterr()
    make(output="land.zarr", text="another")
    line = "made from what is replaced, and out of date until made again: map.zarr, model\n"
    assert line in capsys.readouterr().out
    (tmp_path / "map.zarr" / "text").unlink()  # damaged: made again as it was, which nothing is out of date by
    make(output="map.zarr", source="land.zarr")
    make(output="map.zarr", source="land.zarr")
    assert "out of date" not in capsys.readouterr().out


class Both(Copy):
    def reads(self) -> list[str]:
        return ["land.zarr", "map.zarr"]


def test_artefacts_that_were_made_with_others_are_told(make, capsys):
    """Such as a map and a land store that a second `prepare` replaced, or a model and image shards."""
    make(output="land.zarr", text="one")
    make(output="map.zarr", source="land.zarr")
    make(Both, output="indicators.zarr")
    assert "was made with" not in capsys.readouterr().out
    make(output="land.zarr", text="another")
    capsys.readouterr()
    make(Both, output="indicators.zarr")
    line = "copy: map.zarr was made with another land.zarr than the one that is read now: make it again where both must"
    assert line in capsys.readouterr().out


def test_a_file_that_is_no_artefact_is_known_by_its_content(make, tmp_path, capsys):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"one")
    make(weights=str(weights))
    os.utime(weights, (1, 1))
    assert len(make(weights=str(weights))) == 1
    weights.write_bytes(b"two")
    assert len(make(weights=str(weights))) == 2
    assert f"changed input {weights}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"nowhere.pth: no such file"):
        make(weights=str(tmp_path / "nowhere.pth"))


def test_a_failed_job_leaves_nothing_that_looks_whole(make, tmp_path):
    make(text="good")
    with pytest.raises(OSError, match="disk full"):
        make(text="fail")
    assert artefact.find_record(artefact.UPath(tmp_path) / "copy") is None


def test_what_took_long_is_not_overwritten_unasked(make, tmp_path):
    """Finished or begun, with the difference named; the same again is continued."""
    make(Precious, text="abc", seed=1)
    with pytest.raises(InputError, match=r"copy: was made with another seed, text; name .* with --overwrite"):
        make(Precious, text="abcd", seed=2)
    assert (tmp_path / "copy" / "text").read_text() == "abc"
    make(Precious, text="abcd", seed=2, overwrite=True)
    with pytest.raises(OSError, match="disk full"):
        make(Precious, text="fail", overwrite=True)
    with pytest.raises(InputError, match=r"copy: was begun with another text"):
        make(Precious, text="ab")
    with pytest.raises(OSError, match="disk full"):
        make(Precious, text="fail")
    (tmp_path / "copy" / "text").unlink()
    make(Precious, text="ab")  # nothing was lost with what had only begun
    make(output="first", text="one")
    make(Precious, output="second", source="first")
    make(output="first", text="other")
    with pytest.raises(InputError, match=r"second: was made with another input first"):
        make(Precious, output="second", source="first")


def test_a_place_that_takes_nothing_is_one_line(make, tmp_path):
    """A full disk in the middle of the work, and a folder where nobody may write."""

    def fill(config: Copy, task: job.Job) -> dict:
        (task.output / "text").write_text("half")
        with open("/dev/full", "w") as full:
            full.write(config.text)
        return {}

    config = Copy(run_dir=str(tmp_path), tracking=TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"))
    with pytest.raises(InputError, match=r"copy: cannot be written \(No space left on device\); what is finished is"):
        job.execute("copy", config, fill, "copy")
    assert (tmp_path / "copy" / "text").exists() and artefact.find_record(artefact.UPath(tmp_path) / "copy") is None
    with pytest.raises(InputError, match=r"/sys/copy: cannot be written \(.*\)"):
        make(output="/sys/copy")


def test_a_missing_input_is_named_before_any_work(make):
    with pytest.raises(InputError, match="first: missing"):
        make(output="second", source="first")


def test_foreign_files_are_never_removed(make, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no artefact of sdm-ray"):
        make(text="abc")
    assert (tmp_path / "copy" / "thesis.txt").exists()


def test_the_record_says_what_it_was_made_from(make, tmp_path):
    make(output="first")
    make(output="second", source="first", text="xyz")
    record = artefact.read_record(artefact.UPath(tmp_path) / "second")
    first = artefact.read_record(artefact.UPath(tmp_path) / "first")
    assert record.inputs == {"first": first.fingerprint}
    assert record.config["text"] == "xyz"
    assert record.figures == {"letters": 3}


def test_a_run_folder_under_a_file_is_one_line(tmp_path, uri):
    (tmp_path / "file").write_text("")
    config = Copy(run_dir=str(tmp_path / "file"), tracking=TrackingConfig(uri=uri))
    with pytest.raises(InputError, match="file/copy: cannot be written"):
        job.execute("copy", config, lambda config, task: {}, "copy")
