import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime.datasets.csv import CsvFormat
from edgedistill.runtime.datasets.label_cells import cell_of, labels_in
from edgedistill.runtime.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder, text, name="data.csv", encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding)
    return name


def read(folder, text, **options):
    return CsvFormat(path=write(folder, text), **options).read(folder)


def error_of(folder, text, **options):
    with pytest.raises(DataError) as caught:
        read(folder, text, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_labels_in_one_cell(folder):
    dataset = read(folder, "path,labels\na.jpg,traffic light; dog\nb.jpg,\nsub/c.jpg,cat|dog\n")
    assert dataset.name == "data"
    assert dataset.classes == ("cat", "dog", "traffic light")
    assert dataset.ids == ("a.jpg", "b.jpg", "sub/c.jpg")
    assert dataset.images[2] == folder / "sub/c.jpg"
    assert dataset.labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_one_column_per_class_keeps_the_column_order_and_unknowns(folder):
    dataset = read(folder, "path,dog,cat\na.jpg,1,0\nb.jpg,-1,\nsub/c.jpg,True,0.0\n")
    assert dataset.classes == ("dog", "cat")
    assert dataset.labels.tolist() == [[1, 0], [-1, -1], [1, 0]]


def test_classes_option_sets_the_column_order(folder):
    classes = ["dog", "cat", "bird"]
    left = read(folder, "path,labels\na.jpg,cat\nb.jpg,dog;bird\n", classes=classes)
    assert left.labels.tolist() == [[0, 1, 0], [1, 0, 1]]
    right = read(folder, "path,bird,cat,dog\na.jpg,0,1,0\nb.jpg,1,0,1\n", classes=classes)
    assert right.classes == left.classes
    assert right.labels.tolist() == left.labels.tolist()
    (folder / "names.txt").write_text("dog\ncat\nbird\n\n")
    assert read(folder, "path,labels\na.jpg,cat\n", classes="names.txt").classes == left.classes


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("\"['cat', 'dog']\"", ["cat", "dog"]),
        ("['cat']", ["cat"]),
        ("[]", []),
        ('"[""cat"", ""dog""]"', ["cat", "dog"]),
        ('"[""v\\u00e9lo""]"', ["vélo"]),
        ("['cat' 'dog']", ["cat", "dog"]),
        ("\"['cat'\n 'dog']\"", ["cat", "dog"]),
        ("\"('cat', 'dog')\"", ["cat", "dog"]),
        ("\"{'cat', 'dog'}\"", ["cat", "dog"]),
        ("\"['cat',]\"", ["cat"]),
        ('"[""it\'s"", \'a,b\', \'c;d\']"', ["a,b", "c;d", "it's"]),
        ('"[1, 20]"', ["1", "20"]),
        ("\"['cat', None]\"", ["cat"]),
        ("()", []),
        ("{}", []),
        ("cat [big]", ["cat [big]"]),
        ("(unsure)", ["(unsure)"]),
        ("cat;cat", ["cat"]),
        (' "cat;dog"', ["cat", "dog"]),
    ],
)
def test_a_cell_that_is_a_list(folder, cell, labels):
    separators = ({}, {"separator": ","}, {"separator": ";"})
    for options in separators if cell.startswith(('"[', "[")) else separators[:1]:
        dataset = read(folder, f"path,labels\na.jpg,{cell}\nb.jpg,zoo\n", **options)
        assert [name for name, on in zip(dataset.classes, dataset.labels[0], strict=True) if on] == labels
        assert dataset.classes == (*labels, "zoo")


@pytest.mark.parametrize(
    "cell", ['"[cat, dog]"', "[cat]", "\"['cat', 'dog'\"", "\"[['cat']]\"", "\"{'cat': 1}\"", "['it''s']"]
)
def test_brackets_that_are_no_list_are_named(folder, cell):
    message = error_of(folder, f"path,labels\na.jpg,{cell}\n")
    assert "data.csv, line 2: " in message
    assert "looks like a list but cannot be read as one. Write cat;dog" in message
    assert "separator" not in message


def test_a_class_whose_name_has_brackets_is_read_as_that_class(folder):
    text = "path,labels\na.jpg,[cat]\nb.jpg,[cat];zoo\nsub/c.jpg,['x']\n"
    assert read(folder, text, classes=["[cat]", "zoo", "['x']"]).labels.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


WORDS = ["nan", "NaN", "None", "NULL", "N/A", "NA", "<NA>", "-nan", "#N/A"]


def test_a_word_for_a_missing_value_is_no_label_and_said_once(folder, caplog):
    for word in WORDS:
        caplog.clear()
        dataset = read(folder, f"path,labels\na.jpg,{word}\nb.jpg,cat\nsub/c.jpg,{word};cat\n")
        assert dataset.classes == ("cat",)
        assert dataset.labels.tolist() == [[0], [1], [1]]
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{folder / 'data.csv'}: labels that are a word for a missing value")
        assert "such as nan: 2, read as no label" in record.getMessage()


def test_a_word_for_a_missing_value_in_a_column_is_unknown_and_said_once(folder, caplog):
    cells = "\n".join(f"{i}.jpg,1,{word}" for i, word in enumerate(WORDS))
    for i in range(len(WORDS)):
        (folder / f"{i}.jpg").touch()
    assert read(folder, f"path,cat,dog\n{cells}\n").labels.tolist() == [[1, -1]] * len(WORDS)
    (record,) = caplog.records
    assert f"such as nan: {len(WORDS)}, read as unknown" in record.getMessage()


def test_a_class_that_is_such_a_word_wins(folder, caplog):
    text = "path,labels\na.jpg,None\nb.jpg,nan;NA\nsub/c.jpg,cat\n"
    assert read(folder, text, classes=["None", "nan", "NA", "cat"]).labels.tolist() == [
        [1, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 1],
    ]
    assert not caplog.records


def test_a_comma_between_known_classes_is_told_from_a_name(folder):
    message = error_of(folder, 'path,labels\na.jpg,"cat,dog"\n', classes=["cat", "dog"])
    assert "Set `separator: ','`" in message
    assert "`separator` is empty" in error_of(folder, "path,labels\na.jpg,cat\n", separator="")


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        *((cell, 1) for cell in ("1", "1.0", "True", "TRUE", " 1 ", "yes", "1e0", "+1")),
        *((cell, 0) for cell in ("0", "0.0", "false", "No", "-0.0", "00")),
        *((cell, -1) for cell in ("-1", "-1.0", "", " ", "-1.00")),
    ],
)
def test_what_a_cell_of_a_column_says(folder, cell, label):
    assert read(folder, f"path,cat,dog\na.jpg,{cell},1\n").labels.tolist() == [[label, 1]]


@pytest.mark.parametrize(
    "text",
    [
        "path,cat,dog,\na.jpg,1,0,\nb.jpg,0,1,\n",
        ",path,cat,dog\n0,a.jpg,1,0\n1,b.jpg,0,1\n",
        "path,cat,dog\na.jpg,1,0,,\nb.jpg,0,1,\n",
        " path , cat, dog \na.jpg , 1 ,0\nb.jpg, 0, 1\n",
        '"path","cat","dog"\n"a.jpg","1","0"\n"b.jpg","0","1"\n',
        "path\tcat\tdog\ra.jpg\t1\t0\rb.jpg\t0\t1\r",
        "path;cat;dog\r\n\r\na.jpg;1;0\r\nb.jpg;0;1\r\n\x20\r\n",
    ],
)
def test_tables_as_other_programs_write_them(folder, text):
    dataset = read(folder, text)
    assert (dataset.classes, dataset.ids) == (("cat", "dog"), ("a.jpg", "b.jpg"))
    assert dataset.labels.tolist() == [[1, 0], [0, 1]]


def test_spaces_around_given_classes_do_not_count(folder):
    assert read(folder, "path,labels\na.jpg,cat\n", classes=[" cat", "dog "]).classes == ("cat", "dog")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_read_from_the_header(folder, delimiter):
    text = "path,labels,note\na.jpg,cat|dog,x\nb.jpg,cat,\n".replace(",", delimiter)
    assert read(folder, text).labels.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_byte_order_mark_and_windows_paths_give_the_same_ids(folder, ending):
    text = f"path,labels{ending}.\\sub\\c.jpg,dog{ending}{ending}"
    name = write(folder, text, encoding="utf-8-sig")
    assert CsvFormat(path=name).read(folder).ids == ("sub/c.jpg",)


def test_absolute_paths_inside_the_image_folder_are_its_ids(folder):
    text = f"path,labels\n{folder / 'sub' / 'c.jpg'},dog\n"
    assert read(folder, text, images=".").ids == ("sub/c.jpg",)
    assert read(folder, text, images="/").images[0] == folder / "sub/c.jpg"


def test_named_columns_and_a_comma_separator(folder):
    text = 'id,file,tags\n1,a.jpg,"dog,cat"\n2,b.jpg,cat\n'
    dataset = read(folder, text, path_column="file", labels_column="tags", separator=",")
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels.tolist() == [[1, 1], [1, 0]]


def test_unknown_label_names_file_line_and_nearest_class(folder):
    message = error_of(folder, "path,labels\na.jpg,cat\n\nb.jpg,DOGS\n", classes=["cat", "dog"])
    assert "data.csv, line 4: 'DOGS' is not one of the 2 classes. Did you mean 'dog'?" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no column `path`"),
        ("a.jpg,cat\nb.jpg,dog\n", "first line has no column `path` ('a.jpg,cat')"),
        ("path\na.jpg\n", "needs `labels` or one column per class"),
        ("path,labels\n", "lists no image"),
        ("path,labels\na.jpg,\n", "no image has a label"),
        ("path,labels,labels\na.jpg,cat,\n", "column 'labels' stands there twice"),
        ("path,labels\na.jpg,cat\n./a.jpg,dog\n", "line 3: the image 'a.jpg' is already on line 2"),
        ("path,labels\na.jpg,cat,dog\n", "line 2: 3 cells, but the header has 2"),
        ('path,labels\na.jpg,"cat\n', "not valid CSV"),
        ("path,labels\n,cat\n", "line 2: the image path is empty"),
        ("path,labels\n../a.jpg,cat\n", "outside the image folder"),
        ("path,labels\n/etc/passwd,cat\n", "outside the image folder"),
        ('path,labels\na.jpg,"cat,dog"\n', "is 'cat,dog' one label or several?"),
        ("path,labels\nx.jpg,cat\ny.jpg,cat\n", "none of its 2 images exists"),
        ("path,cat,width\na.jpg,1,640\n", "line 2: '640' in the column 'width'"),
    ],
)
def test_a_faulty_table_gives_one_clear_line(folder, text, expected):
    assert expected in error_of(folder, text)


def test_columns_and_classes_must_agree(folder):
    text = "path,cat,dog,width\na.jpg,1,0,640\n"
    assert "column: 'width' is not one of the 2 classes" in error_of(folder, text, classes=["cat", "dog"])
    assert read(folder, text, ignore_columns=("width",)).classes == ("cat", "dog")
    missing = error_of(folder, text, classes=["cat", "dog", "width", "dogs"])
    assert "no column for the class 'dogs' (the nearest is 'dog')" in missing


def test_class_list_with_a_duplicate_is_refused(folder):
    assert "'cat' is listed twice" in error_of(folder, "path,labels\na.jpg,cat\n", classes=["cat", "dog", "cat"])


def test_other_encodings_are_refused_by_name(folder):
    write(folder, "path,labels\na.jpg,vélo\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"data\.csv: is not UTF-8"):
        CsvFormat(path="data.csv").read(folder)


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=";|"), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(classes=st.lists(NAMES, min_size=1, max_size=4, unique=True), data=st.data())
def test_any_labels_survive_both_layouts(tmp_path_factory, classes, data):
    folder = tmp_path_factory.getbasetemp()
    count = data.draw(st.integers(1, 5))
    cells = st.lists(st.integers(0, 1), min_size=len(classes), max_size=len(classes))
    labels = np.array(data.draw(st.lists(cells, min_size=count, max_size=count)), np.int8)
    names = [f"{i}.jpg" for i in range(count)]
    for name in names:
        (folder / name).touch()
    joined = [";".join(name for name, on in zip(classes, row, strict=True) if on) for row in labels]
    one_cell = [["path", "labels"], *([name, cell] for name, cell in zip(names, joined, strict=True))]
    columns = [["path", *classes], *([name, *row] for name, row in zip(names, labels.tolist(), strict=True))]
    for table in (one_cell, columns):
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(table)
        if set(classes) & {"path", "labels"}:
            continue
        dataset = read(folder, stream.getvalue(), classes=classes)
        assert dataset.ids == tuple(names)
        np.testing.assert_array_equal(dataset.labels, labels)


@pytest.mark.parametrize(
    "names", [[], ["cat"], ["cat", "dog"], ["a;b"], ["x|y", "z"], ["[z]"], ["[1]"], ["{a"], ["ß;"]]
)
def test_labels_are_written_as_they_are_read(names):
    cell = cell_of(names)
    assert labels_in(cell, None, ()).names == names
    assert cell == ";".join(names) or cell.startswith('["')
