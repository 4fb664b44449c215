"""One self-contained HTML page of sections with texts, tables and pictures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader


@dataclass(frozen=True)
class Table:
    """A table; cells are shown as given, with numbers already rounded."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Picture:
    """A PNG picture; two of half width are shown side by side."""

    caption: str
    png: bytes
    half: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URL, so that the page needs no other files."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Section:
    """The content under one heading: texts, links, tables and pictures in this order; a link is text and address."""

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


def render(title: str, summary: str, sections: Sequence[Section]) -> str:
    """The page as HTML; all texts are escaped."""
    environment = Environment(loader=PackageLoader("sdm_ray.plots"), autoescape=True, trim_blocks=True)
    return environment.get_template("page.html.j2").render(title=title, summary=summary, sections=sections)
