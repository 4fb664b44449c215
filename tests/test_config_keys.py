"""Keys of configuration classes, as the reference shows them."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

from sdm_ray import config_keys, jobs
from sdm_ray.config import Config, JobConfig


@dataclass(frozen=True)
class Split:
    """How rows are split.

    Attributes:
        share: of the rows,
            between 0 and 1.
    """

    share: float = 0.5


class Part(Config):
    """One part.

    What follows is no summary.
    """

    kind: Literal["part"] = "part"
    side: float = Field(gt=0)
    """Its side,
    metres."""


class Whole(JobConfig):
    """A job."""

    parts: list[Part] = Field(default=[Part(side=2)])
    split: Split = Split()
    sides: tuple[float, float] | None = None
    rounds: PositiveInt | None = 3
    named: dict[str, Annotated[int, Field(ge=1, lt=9)]] = Field(default_factory=dict)


def keys(owner: type) -> dict[str, config_keys.Key]:
    return {key.name: key for key in config_keys.keys(owner)}


def test_types_bounds_defaults_and_docstrings_are_told():
    found = keys(Whole)
    assert list(found)[:2] == ["run_dir", "output"]
    assert found["output"].about == "Name of the artefact that the job writes, inside `run_dir`."
    assert (found["parts"].kind, found["parts"].default) == ("list of Part", "[{kind: part, side: 2}]")
    assert (found["sides"].kind, found["sides"].default) == ("[number, number] or null", "null")
    assert found["rounds"].kind == "whole number > 0 or null"
    assert (found["named"].kind, found["named"].default) == ("mapping of text to whole number ≥ 1, < 9", "{}")
    part = keys(Part)
    assert part["side"] == config_keys.Key("side", "number, > 0", "", "Its side, metres.")
    assert part["kind"].kind == "`part`"
    assert keys(Split)["share"] == config_keys.Key("share", "number", "0.5", "of the rows, between 0 and 1.")


def test_inner_classes_are_found_once_each():
    found = config_keys.inner_classes(Whole)
    assert [each.__name__ for each in found] == ["TrackingConfig", "Part", "Split"]
    assert config_keys.summary(Part) == "One part."


def test_a_listing_has_every_key_with_its_first_sentence():
    lines = list(config_keys.listing(Whole))
    assert lines[0] == "A job."
    assert "  rounds: whole number > 0 or null; default 3" in lines
    part = lines.index("parts (Part): One part.")
    assert lines[part + 1 : part + 4] == [
        "  kind: `part`; default part",
        "  side: number, > 0; required",
        "      Its side, metres.",
    ]
    assert config_keys.first_sentence("By default 25; more. Up to 3.5 of `x`.") == "By default 25; more."


@pytest.mark.parametrize("job", jobs.JOBS)
def test_every_key_of_every_job_is_told(job):
    owner = jobs.config_class(job)
    assert [key.name for key in config_keys.keys(owner)] == list(owner.model_fields)
    for inner in config_keys.inner_classes(owner):
        assert config_keys.summary(inner), inner
        assert all(key.kind and "typing" not in key.kind for key in config_keys.keys(inner)), inner
