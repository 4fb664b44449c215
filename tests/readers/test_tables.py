"""Tables in the shapes that publishers and people give them."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.readers.config import TableFormat
from sdm_ray.readers.tables import column_names, numbers, read_table, texts, whole_texts

ROWS = pd.DataFrame({"lon": [1.5, 2.5], "lat": [40.0, 41.0], "extra": ["a", "b"]})


def in_zip(path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: ROWS.to_csv(path, index=False)),
        ("t.csv", lambda path: ROWS.to_csv(path, index=False, sep=";")),
        ("t.csv", lambda path: ROWS.to_csv(path, index=False, sep="|")),
        ("t.txt", lambda path: ROWS.to_csv(path, index=False, sep=" ")),
        ("t.tsv", lambda path: ROWS.to_csv(path, index=False, sep="\t", encoding="utf-8-sig")),
        ("t.csv", lambda path: ROWS.to_csv(path, index=False, sep=";", encoding="utf-16")),
        ("t.csv", lambda path: ROWS.to_csv(path, index=False, quoting=1, lineterminator="\r\n")),
        ("t.csv", lambda path: path.write_text("lon;lat;extra;\n1.5;40.0;a;\n2.5;41.0;b;\n")),
        ("t.csv", lambda path: path.write_text(" lon ,\u00a0lat, extra\n 1.5 , 40.0,a\n2.5, 41.0,b\n")),
        ("t.csv.gz", lambda path: ROWS.to_csv(path, index=False)),
        ("t.CSV", lambda path: ROWS.to_csv(path, index=False)),
        ("t.parquet", lambda path: ROWS.to_parquet(path)),
        ("t.xlsx", lambda path: ROWS.to_excel(path, index=False)),
        ("t.zip", lambda path: in_zip(path, t__csv=ROWS.to_csv(index=False).encode())),
    ],
)
def test_every_shape_gives_the_same_table(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    assert column_names(str(path)) == ["lon", "lat", "extra"]
    rows = read_table(str(path), ["lat", "lon", "extra"], ["year"])
    for column in ("lat", "lon"):
        assert numbers(rows, column, name).tolist() == ROWS[column].tolist()
    assert texts(rows["extra"]).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.csv", None, "no such file"),
        ("t.csv", b"lon,year\n1,2\n", "has no column lat; found lon, year"),
        ("t.csv", b"lon,lat,lat\n1,2,3\n", "has two columns lat; found lon, lat, lat"),
        ("t.csv", b"lon,lat\n", "holds no rows"),
        ("t.csv", b"", "cannot be read as a table"),
        ("t.csv", b"lon,lat\n1,2\n1,2,3,4\n", "row 2 has more than the 2 fields"),
        ("t.parquet", b"lon,lat\n1,2\n", "cannot be read as a table"),
        ("t.zip", b"lon,lat\n1,2\n", "cannot be read as a table"),
        ("t.xlsx", b"lon,lat\n1,2\n", "cannot be read as a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {said}"):
        read_table(str(path), ["lon", "lat"])


def test_a_word_among_numbers_is_named():
    with pytest.raises(InputError, match=r"t\.csv: column lon, row 2 holds 'east', expected a number$"):
        numbers(pd.DataFrame({"lon": ["1", "east"]}), "lon", "t.csv")


def test_quotes_are_characters_in_tab_separated_text(tmp_path):
    """As Darwin Core defines it: 7 rows in, 7 rows out."""
    notes = ['"Quercus', "plain", 'a 12" trunk', '"both"', '"', "x", 'end"']
    lines = ["id\tremarks\tspecies", *(f"{i}\t{note}\tAbies alba" for i, note in enumerate(notes))]
    path = tmp_path / "occurrence.txt"
    path.write_text("\n".join(lines) + "\n")
    rows = read_table(str(path), ["id", "remarks", "species"])
    assert rows["id"].tolist() == list("0123456")
    assert rows["remarks"].tolist() == notes
    path.write_text('"id"\t"species"\n"1"\t"Abies alba"\n')  # as R writes it
    assert read_table(str(path), ["id", "species"]).to_numpy().tolist() == [["1", "Abies alba"]]
    path.write_text('id\tspecies\n1\t"Abies\talba"\n')
    assert texts(read_table(str(path), ["species"], form=TableFormat(quotes=True))["species"]).tolist() == [
        "Abies\talba"
    ]


def test_ids_stay_as_they_are_written(tmp_path):
    ids = [f"9007199254740{i:06d}" for i in range(100)]  # 19 digits: no float holds them apart
    path = tmp_path / "t.csv"
    path.write_text("id,other,lon\n" + "\n".join(f"{each},,1" for each in ids) + "\n,,1\n")
    found = texts(read_table(str(path), ["id"])["id"])
    assert found.tolist() == [*ids, None]
    path.write_text("id\tlon\n" + "\n".join(f"{each}\t1" for each in ("0001", "12.10", "1E3", "None", "1.0", "NA")))
    assert texts(read_table(str(path), ["id"])["id"]).tolist() == ["0001", "12.10", "1E3", "None", "1.0", None]
    pd.DataFrame({"id": pd.array([*map(int, ids), None], "Int64")}).to_parquet(tmp_path / "t.parquet")
    assert texts(read_table(str(tmp_path / "t.parquet"), ["id"])["id"]).tolist() == [*ids, None]
    pd.DataFrame({"id": ["0001", "12.10", 7, None]}).to_excel(tmp_path / "t.xlsx", index=False)
    assert texts(read_table(str(tmp_path / "t.xlsx"), ["id"])["id"]).tolist()[:3] == ["0001", "12.10", "7"]


def test_whole_numbers_lose_the_zero_that_blanks_brought():
    assert whole_texts(pd.Series(["1.0", "22", None, "3.50"])).tolist() == ["1", "22", None, "3.50"]


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("lon,lat,place\n1,2,Forêt de Fontainebleau\n", "cp1252", r"is not utf-8, it seems to be cp1252 \('Forêt'\)"),
        ("lon,lat,place\n1,2,Bärlauch\n", "cp1252", r"seems to be cp1252 \('Bärlauch'\)"),
        ("lon,lat,place\n1,2,Logroño\n", "cp1252", r"seems to be cp1252 \('Logroño'\) or cp1250 \('Logrońo'\)"),
        ("lon,lat,miejsce\n1,2,Dąb szypułkowy\n", "cp1250", r"seems to be cp1250 \('Dąb'\)"),
        ("lon,lat,place\n1,2,x\n", "utf-16-le", "is not utf-8, it seems to be utf-16-le"),
    ],
)
def test_another_encoding_is_named_and_read_when_stated(tmp_path, text, encoding, said):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match=rf"t\.csv: .*{said}.*; state its `encoding`"):
        read_table(str(path), ["lon", "lat"])
    rows = read_table(str(path), ["lon", text.split("\n")[0].split(",")[2]], form=TableFormat(encoding=encoding))
    assert rows.iloc[0].tolist() == ["1", text.split("\n")[1].split(",")[2]]
    with pytest.raises(InputError, match="encoding 'klingon' is not known"):
        read_table(str(path), ["lon"], form=TableFormat(encoding="klingon"))


def test_another_encoding_far_into_a_file_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"lon,place\n" + b"1,here\n" * 20_000 + "1,Hêtraie\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"it seems to be cp1252 \('Hêtraie'\)"):
        read_table(str(path), ["lon", "place"])


def test_decimal_commas_are_read_when_stated(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("lon;lat\n-1,25;40\n2,5;41,125\n")
    rows = read_table(str(path), ["lon", "lat"])
    assert numbers(rows, "lon", "t.csv", ",").tolist() == [-1.25, 2.5]
    assert numbers(rows, "lat", "t.csv", ",").tolist() == [40, 41.125]
    with pytest.raises(
        InputError, match=r"column lon, row 1 holds '-1,25', expected a number \(or state `decimal: ','`\)"
    ):
        numbers(rows, "lon", "t.csv")
    with pytest.raises(InputError, match=r"row 1 holds '1.25', expected a number"):
        numbers(pd.DataFrame({"lon": ["1.25"]}), "lon", "t.csv", ",")
    assert numbers(pd.DataFrame({"lon": [1.25, np.nan]}), "lon", "t.xlsx", ",")[0] == 1.25


def test_row_numbers_without_a_name_shift_no_column(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text('"lon" "lat" "species"\n"1" 1.5 40 "Abies alba"\n"2" 2.5 41 NA\n')  # R's write.table
    rows = read_table(str(path), ["lon", "species"])
    assert rows["lon"].tolist() == ["1.5", "2.5"]
    assert texts(rows["species"]).tolist() == ["Abies alba", None]


def test_columns_of_numbers_are_parsed_at_once_and_a_word_is_still_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,a,b\n01,1.5,2\n02,eos,3\n")
    form = TableFormat(blanks=("eos",))
    rows = read_table(str(path), ["id", "a", "b"], form=form, numeric=["a", "b"])
    assert rows["a"].dtype == np.float64
    assert rows["id"].tolist() == ["01", "02"]
    rows = read_table(str(path), ["id", "a", "b"], numeric=["a", "b"])
    with pytest.raises(InputError, match="column a, row 2 holds 'eos'"):
        numbers(rows, "a", "t.csv")


def test_a_sheet_is_named(tmp_path):
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"note": ["read me"]}).to_excel(book, sheet_name="about", index=False)
        ROWS.to_excel(book, sheet_name="plots", index=False)
    with pytest.raises(InputError, match=r"has no column lon; found note"):
        read_table(str(path), ["lon"])
    assert read_table(str(path), ["lon"], form=TableFormat(sheet="plots"))["lon"].tolist() == [1.5, 2.5]
    with pytest.raises(InputError, match=r"cannot be read as a table \(.*'trees' not found"):
        read_table(str(path), ["lon"], form=TableFormat(sheet="trees"))


def test_a_zip_of_several_tables_is_not_guessed_at(tmp_path):
    path = tmp_path / "t.zip"
    in_zip(path, a__csv=b"lon\n1\n", b__csv=b"lon\n1\n", read__md=b"words")
    with pytest.raises(InputError, match=r"holds 2 tables \(a\.csv, b\.csv\), expected one"):
        read_table(str(path), ["lon"])


def test_pandas_index_columns_are_columns(tmp_path):
    path = tmp_path / "t.parquet"
    ROWS.assign(plot=["x", "y"]).set_index("plot").to_parquet(path)
    assert read_table(str(path), ["plot", "lon"])["plot"].tolist() == ["x", "y"]


META = """<archive xmlns="http://rs.tdwg.org/dwc/text/">
<core encoding="UTF-8" linesTerminatedBy="\\n" fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1"
 rowType="http://rs.tdwg.org/dwc/terms/Occurrence"><files><location>occurrence.txt</location></files><id index="0"/>
<field index="1" term="http://rs.tdwg.org/dwc/terms/scientificName"/>
<field index="3" term="http://rs.tdwg.org/dwc/terms/decimalLatitude"/>
<field default="BE" term="http://rs.tdwg.org/dwc/terms/countryCode"/></core></archive>"""


def test_a_darwin_core_archive_is_its_core(tmp_path):
    content = 'who\tcares\tfor\tnames\nurn:1\t"Abies alba\t-\t50.5\nurn:2\tTaxus baccata\t-\t\n'
    in_zip(tmp_path / "dwca.zip", meta__xml=META.encode(), occurrence__txt=content.encode())
    folder = tmp_path / "dwca"
    folder.mkdir()
    zipfile.ZipFile(io.BytesIO((tmp_path / "dwca.zip").read_bytes())).extractall(folder)
    for path in (tmp_path / "dwca.zip", folder):
        assert column_names(str(path)) == ["id", "scientificName", "decimalLatitude", "countryCode"]
        rows = read_table(str(path), ["decimalLatitude", "scientificName", "countryCode", "id"])
        assert rows["scientificName"].tolist() == ['"Abies alba', "Taxus baccata"]
        assert rows["countryCode"].tolist() == ["BE", "BE"]
        assert numbers(rows, "decimalLatitude", "").fillna(-1).tolist() == [50.5, -1]
    (folder / "occurrence.txt").unlink()
    with pytest.raises(InputError, match=r"meta\.xml names occurrence\.txt, which is not there"):
        read_table(str(folder), ["id"])
