"""The versions of what is on disk, each kind of artefact with its own.

A version is raised when what the readers of a kind expect changes; `oldest` follows once nobody has older artefacts
any more. Each version that is still read has an artefact in `tests/golden/`, which `make_golden.py` there makes.
"""

from dataclasses import dataclass

from upath import UPath

from sdm_ray.errors import InputError


@dataclass(frozen=True)
class Format:
    """The versions of one kind.

    Attributes:
        jobs: which make it.
        version: that is written today.
        oldest: that is still read.
    """

    jobs: tuple[str, ...] = ()
    version: int = 1
    oldest: int = 1

    @property
    def read(self) -> str:
        """The versions that are read, in words."""
        return str(self.version) if self.oldest == self.version else f"{self.oldest} to {self.version}"


_PREPARED = Format(("prepare",))
FORMATS: dict[str, Format] = {
    "surveys": _PREPARED,
    "land": _PREPARED,
    "parcels": _PREPARED,
    "covariates": _PREPARED,
    "cube": _PREPARED,
    "shards": Format(("prepare",), version=2),
    "series": _PREPARED,
    "encoder": Format(("pretrain",), version=2),
    "sweep": Format(("tune",), version=2),
    "model": Format(("finetune",), version=2),
    "evaluation": Format(("evaluate",), version=2),
    "comparison": Format(("compare",), version=2),
    "embeddings": Format(("embed",)),
    "map": Format(("map", "prepare"), version=2),  # the truth of a virtual landscape is a map that `prepare` makes
    "export": Format(("export",)),
    "predictions": Format(("predict",)),
    "indicators": Format(("indicators",)),
    "errors": Format(("errors",)),
    "change": Format(("change",)),
    "impact": Format(("impact",)),
    "documentation": Format(("document",)),
    "sample": Format(("sample",)),
}
"""Kind of artefact -> its versions."""


def format_of(kind: str) -> Format:
    """The versions of a kind; of one that has no entry there is the first alone."""
    return FORMATS.get(kind, Format())


def check_version(place: UPath, what: str, found: int, expected: Format) -> None:
    """Refuse a version that is not read.

    Args:
        place: the file that says the version.
        what: the artefact, for the message.
        found: the version that it says.
        expected: the versions that are read.

    Raises:
        InputError: the version is newer or older than what is read; the line says what to do.
    """
    if expected.oldest <= found <= expected.version:
        return
    if found > expected.version:
        remedy = "install a newer sdm-ray"
    else:
        remedy = "make it anew with " + (" or ".join(f"`sdm-ray {job}`" for job in expected.jobs) or "its job")
    raise InputError(f"{place}: {what} of format version {found}, this release reads {expected.read}; {remedy}")
