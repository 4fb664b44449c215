"""The page escapes what it is given and needs no other file."""

import base64

from sdm_ray.plots.html import Picture, Section, Table, render


def test_page():
    png = b"\x89PNG not really"
    section = Section("Maps & more", ["<b>text</b>"], [Table("T", ["a", "b"], [[1, "x<y"]])], [Picture("a map", png)])
    html = render("Run", "AUC 0.9", [section])
    assert "<td>1</td><td>x&lt;y</td>" in html and "&lt;b&gt;text" in html and "Maps &amp; more" in html
    assert base64.b64encode(png).decode() in html
    assert "http" not in html.replace("https://www.w3.org", "")
