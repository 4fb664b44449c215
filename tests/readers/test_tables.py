"""Tables in the shapes that publishers give them."""

import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import column_names, numbers, read_table

ROWS = pd.DataFrame({"lon": [1.5, 2.5], "lat": [40.0, 41.0], "extra": ["a", "b"]})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: ROWS.to_csv(path, index=False)),
        ("t.csv", lambda path: ROWS.to_csv(path, index=False, sep=";")),
        ("t.tsv", lambda path: ROWS.to_csv(path, index=False, sep="\t", encoding="utf-8-sig")),
        ("t.csv.gz", lambda path: ROWS.to_csv(path, index=False)),
        ("t.parquet", lambda path: ROWS.to_parquet(path)),
    ],
)
def test_every_shape_gives_the_same_table(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    assert column_names(str(path)) == ["lon", "lat", "extra"]
    pd.testing.assert_frame_equal(read_table(str(path), ["lat", "lon"], ["year"]), ROWS[["lat", "lon"]])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.csv", None, "no such file"),
        ("t.csv", b"lon,year\n1,2\n", "has no column lat; found lon, year"),
        ("t.csv", b"lon,lat\n", "holds no rows"),
        ("t.csv", b"", "cannot be read as a table"),
        ("t.csv", b"lon,lat\n\xff\xfe,2\n", "cannot be read as a table"),
        ("t.parquet", b"lon,lat\n1,2\n", "cannot be read as a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {said}"):
        read_table(str(path), ["lon", "lat"])


def test_a_word_among_numbers_is_named():
    with pytest.raises(InputError, match=r"t\.csv: column lon, row 2 holds 'east', expected a number"):
        numbers(pd.DataFrame({"lon": ["1", "east"]}), "lon", "t.csv")
