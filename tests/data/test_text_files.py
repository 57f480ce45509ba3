"""Tables as spreadsheets and editors save them, on any system."""

import codecs

import pytest

from reid_data.errors import InputError
from reid_data.text_files import read_table, read_text

TABLE = 'Path, PID ,camid,extra\na b.jpg,1,2,x\n\n"c,d;e\tf.jpg",3,4,ü\n'
ROWS = [
    (2, {"path": "a b.jpg", "pid": "1", "camid": "2", "extra": "x"}),
    (4, {"path": "c,d;e\tf.jpg", "pid": "3", "camid": "4", "extra": "ü"}),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings_and_line_endings(tmp_path, encoding, ending):
    (tmp_path / "t.csv").write_bytes(TABLE.replace("\n", ending).encode(encoding))
    assert read_table(tmp_path / "t.csv", ("pid", "path")) == ROWS


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_marks_between_the_values(tmp_path, mark):
    (tmp_path / "t.csv").write_text(f"path{mark}pid\na,b.jpg{mark}1\n")
    assert read_table(tmp_path / "t.csv", ("path", "pid")) == [(2, {"path": "a,b.jpg", "pid": "1"})]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"path\na\n", "line 1 lacks the column pid"),
        (b"path,pid,pid\na,1,2\n", "line 1 has the column pid twice"),
        (b"path,pid\na,1\nb,2,3\n", "line 3 has 3 values, expected 2"),
        (b"path,pid\na\x00,1\n", "line 2 holds a zero byte"),
        (codecs.BOM_UTF16_LE + b"a", "broken utf-16"),
        (b"", "lacks the columns path, pid"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(tmp_path, data, words):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "t.csv", ("path", "pid"))


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "none.toml")
