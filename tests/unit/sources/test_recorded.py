from pathlib import Path

import pytest

from matrixhub.model.errors import MappingFileError, RecordedDataError
from matrixhub.sources.mapping import parse_mapping
from matrixhub.sources.recorded import Recorded, count_lines, read_recorded

CSV = """\
columns: [at, kind, value]
header: false
time: {columns: at, format: "%Y-%m-%d %H:%M:%S", zone: Asia/Singapore}
outputs:
  - slot: "s1"
    v: FIELDS
"""


def with_fields(fields: str) -> str:
    return CSV.replace("FIELDS", fields)


def read(tmp_path: Path, mapping: str, text: str | bytes, *, from_line: int = 1) -> list[Recorded]:
    path = tmp_path / "data"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_recorded(path, parse_mapping(mapping, "m.yaml"), from_line=from_line))


def one(tmp_path: Path, field: str, cell: str) -> object:
    (reading,) = read(tmp_path, with_fields(f"{{x: {field}, always: {{value: 1}}}}"), f"2024-03-10 08:05:09,k,{cell}\n")
    return reading.v.get("x")


def test_a_row_becomes_a_reading_with_the_instant_of_its_zone(tmp_path: Path) -> None:
    (reading,) = read(tmp_path, with_fields("{t: value}"), "2024-03-10 08:05:09,k,21.5\n")
    assert reading.reading() == {"DEVID": "s1", "unixT": 1710029109000, "v": {"t": 21.5}}
    assert reading.reading(shift_ms=500)["unixT"] == 1710029109500
    assert reading.line == 1


@pytest.mark.parametrize(
    "field,cell,value",
    [
        ("{column: value}", "3", 3),
        ("{column: value}", " 3.50 ", 3.5),
        ("{column: value, scale: 10, offset: 1}", "2.5", 26),
        ("{column: value, digits: 1}", "2.46", 2.5),
        ("{column: value, digits: 0}", "2.6", 3),
        ("{column: value, type: integer}", "2.6", 3),
        ("{column: value, type: text}", "07", "07"),
        ("{column: value, lookup: {open: 1, shut: 0}}", "shut", 0),
        ("{column: value, lookup: {1: {deep: [1]}}}", "1", {"deep": [1]}),
        ("{column: value, steps: {0: low, 10: high}}", "10", "high"),
        ("{column: value, steps: {0: low, 10: high}}", "9.99", "low"),
        ("{column: value, steps: {0: low, 10: high}}", "-4", "low"),
        ("{column: value, steps: LIGHT_LEVELS}", "0", 0),
        ("{column: value, steps: LIGHT_LEVELS}", "5.5", 0),
        ("{column: value, steps: LIGHT_LEVELS}", "50.9", 1),
        ("{column: value, steps: LIGHT_LEVELS}", "101", 3),
        ("{column: value, steps: LIGHT_LEVELS}", "1546", 3),
        ("{column: value}", "", None),
        ("{column: value, missing: [NA]}", "NA", None),
        ("{value: none}", "whatever", "none"),
    ],
)
def test_a_field_is_made_from_its_cell(tmp_path: Path, field: str, cell: str, value: object) -> None:
    assert one(tmp_path, field, cell) == value


def test_whole_numbers_are_integers(tmp_path: Path) -> None:
    assert isinstance(one(tmp_path, "{column: value}", "3.0"), int)


@pytest.mark.parametrize(
    "field,cell,message",
    [
        ("{column: value}", "warm", "data:1: column value: 'warm' is not a number"),
        ("{column: value}", "nan", "not a finite number"),
        ("{column: value, lookup: {a: 1}}", "b", "'b' is not in the lookup"),
    ],
)
def test_a_cell_that_cannot_be_read_names_its_line_and_column(
    tmp_path: Path, field: str, cell: str, message: str
) -> None:
    with pytest.raises(RecordedDataError, match=message):
        one(tmp_path, field, cell)


def test_a_bad_time_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match=r"data:2: time.columns at: .*10/03/2024") as caught:
        read(tmp_path, with_fields("{t: value}"), "2024-03-10 08:05:09,k,1\n10/03/2024,k,1\n")
    assert caught.value.line == 2


def test_a_row_with_a_cell_too_many_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match="data:2: 4 cells where the mapping has 3 columns"):
        read(tmp_path, with_fields("{t: value}"), "2024-03-10 08:05:09,k,1\n2024-03-10 08:05:09,k,1,5\n")


def test_lines_are_those_of_the_file_with_header_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    mapping = "time: {columns: at}\noutputs: [{slot: s, v: {x: x}}]"
    text = '\ufeffat,note,x\n2024-01-01T00:00:00Z,"a\nb",1\n\n2024-01-01T00:01:00Z,c,2\n'
    readings = read(tmp_path, mapping, text)
    assert [(r.line, r.v["x"]) for r in readings] == [(2, 1), (5, 2)]
    assert [r.line for r in read(tmp_path, mapping, text, from_line=3)] == [5]
    assert count_lines(tmp_path / "data") == 5


def test_a_file_that_is_not_utf8_is_an_error_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match="UTF-8"):
        read(tmp_path, with_fields("{t: value}"), b"2024-03-10 08:05:09,\xff,1\n")


def test_a_condition_picks_the_rows_of_a_slot(tmp_path: Path) -> None:
    mapping = """
        columns: [at, room, x]
        header: false
        time: {columns: at}
        outputs:
          - {slot: north, where: {room: N}, v: {x: x}}
          - {slot: south, where: {room: S}, v: {x: x}}
    """
    readings = read(tmp_path, mapping, "2024-01-01T00:00Z,N,1\n2024-01-01T00:00Z,S,2\n2024-01-01T00:01Z,N,3\n")
    assert [(r.slot_id, r.v["x"]) for r in readings] == [("north", 1), ("south", 2), ("north", 3)]


GROUPED = """
    columns: [flow, at, n]
    header: false
    time: {columns: at}
    group_by: at
    outputs:
      - slot: door
        v:
          count: {column: n, where: {flow: 9}}
          out_count: {column: n, where: {flow: 7}}
"""


def test_rows_of_a_group_are_combined_into_one_reading(tmp_path: Path) -> None:
    readings = read(
        tmp_path,
        GROUPED,
        "7,2024-01-01T00:00Z,4\n9,2024-01-01T00:00Z,6\n9,2024-01-01T00:30Z,1\n7,2024-01-01T00:30Z,0\n",
    )
    assert [(r.line, r.rows, r.v) for r in readings] == [
        (1, 2, {"count": 6, "out_count": 4}),
        (3, 2, {"count": 1, "out_count": 0}),
    ]


def test_a_group_without_one_of_its_rows_makes_a_reading_of_the_others(tmp_path: Path) -> None:
    (reading,) = read(tmp_path, GROUPED, "7,2024-01-01T00:00Z,4\n")
    assert reading.v == {"out_count": 4}


def test_two_rows_for_one_attribute_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match="data:1: 2 rows of the same group fit `out_count`"):
        read(tmp_path, GROUPED, "7,2024-01-01T00:00Z,4\n7,2024-01-01T00:00Z,4\n")


NDJSON = """
    format: ndjson
    time: {columns: ts, format: epoch}
    outputs: [{slot: s, v: {x: x, "on": {column: "on", type: integer}}}]
"""


def test_ndjson_is_read_by_keys(tmp_path: Path) -> None:
    readings = read(
        tmp_path, NDJSON, '{"ts": 1710029109, "x": 1.5, "on": true}\n\n{"ts":1710029110417,"x":null,"on":0}\n'
    )
    assert [(r.line, r.instant_ms, r.v) for r in readings] == [
        (1, 1710029109000, {"x": 1.5, "on": 1}),
        (3, 1710029110417, {"on": 0}),
    ]


@pytest.mark.parametrize(
    "text,message",
    [
        ("{", "data:1: not a flat JSON object"),
        ('{"ts": 1, "x": 1, "on": [1]}', "data:1: not a flat JSON object"),
        ('{"ts": 1710029109, "on": 1}', "data:1: column x is missing; there are ts, on"),
    ],
)
def test_ndjson_that_does_not_fit_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecordedDataError, match=message):
        read(tmp_path, NDJSON, text)


def test_a_column_that_the_header_does_not_have_is_an_error_of_the_mapping(tmp_path: Path) -> None:
    with pytest.raises(MappingFileError, match=r"m.yaml: outputs\[0\].v.x.column: no column 'x'; there are at, y"):
        read(tmp_path, "time: {columns: at}\noutputs: [{slot: s, v: {x: x}}]", "at,y\n")


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "m.yaml: the file: is missing"),
        ("[1]", "m.yaml: the file: is not a mapping"),
        ("a: [", "m.yaml: not YAML"),
        ("format: xml", "m.yaml: format: is one of csv, ndjson, not 'xml'"),
        ("delimiter: '::'", "m.yaml: delimiter: is one character"),
        ("header: maybe", "m.yaml: header: is true or false"),
        ("columns: [1]", "m.yaml: columns: is a list of texts"),
        ("time: {columns: at, zone: Mars}", "m.yaml: time.zone: 'Mars' is not an IANA time zone"),
        ("time: {format: iso}", "m.yaml: time.columns: names no column"),
        ("format: csv", "m.yaml: time: is missing"),
        ("time: {columns: at}", "m.yaml: outputs: is a list"),
        ("time: {columns: at}\noutputs: [{v: {x: x}}]", r"m.yaml: outputs\[0\].slot: is the id"),
        ("time: {columns: at}\noutputs: [{slot: 5, v: {x: x}}]", r"m.yaml: outputs\[0\].slot: is the id"),
        ("time: {columns: at}\noutputs: [{slot: s}]", r"m.yaml: outputs\[0\].v: is missing"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {}}]", r"m.yaml: outputs\[0\].v: makes no attribute"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {}}}]", r"v.x: has either a `column` or a constant"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {column: a, scale: big}}}]", "v.x.scale: is a number"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {column: a, digits: 1.5}}}]", "v.x.digits: is a whole"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {column: a, steps: LUX}}}]", "v.x.steps: is one of LIGHT"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {column: a, sclae: 2}}}]", "v.x.sclae: is unknown here"),
        (
            "time: {columns: at}\noutputs: [{slot: s, v: {on: x}}]",
            r"outputs\[0\].v: the key True is not a text; quote it",
        ),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: {column: a, lookup: {yes: 1}}}}]", "the key True is not"),
        ("time: {columns: at}\noutputs: [{slot: s, v: {x: x}}]\nheader: false", "m.yaml: columns: is needed"),
        ("columns: [a, a]\ntime: {columns: a}\noutputs: [{slot: s, v: {x: a}}]", "columns: names a column twice"),
        ("columns: [a]\ntime: {columns: at}\noutputs: [{slot: s, v: {x: a}}]", "time.columns: no column 'at'"),
        ("columns: [a]\ngroup_by: b\ntime: {columns: a}\noutputs: [{slot: s, v: {x: a}}]", "group_by: no column 'b'"),
    ],
)
def test_errors_of_the_mapping_name_its_field(text: str, message: str) -> None:
    with pytest.raises(MappingFileError, match=message):
        parse_mapping(text, "m.yaml")
