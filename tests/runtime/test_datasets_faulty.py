"""Whatever a file holds, each reader gives a right data set or one line that names the file and the fault."""

import json
import logging
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedistill.runtime.datasets import Dataset, open_dataset
from edgedistill.runtime.errors import ConfigError, DataError, EdgedistillError

INSTANCES = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [{"image_id": 1, "category_id": 5}],
    "categories": [{"id": 5, "name": "cat"}, {"id": 7, "name": "dog"}],
}
SPECS = {
    "csv": {"format": "csv", "path": "index"},
    "coco": {"format": "coco", "annotations": "index", "images": "."},
    "voc": {"format": "voc", "root": "VOC", "split": "val", "classes": ["cat", "dog", "猫"]},
    "nuswide": {"format": "nuswide", "root": ".", "split": "index", "images": "."},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / "VOC" / name).mkdir(parents=True)
    (folder / "VOC/ImageSets/Main/val.txt").write_text("x\n")
    for name in ("a.jpg", "b.jpg", "c.jpg", "VOC/JPEGImages/x.jpg"):
        (folder / name).touch()
    (folder / "ConceptsList").mkdir()
    (folder / "ConceptsList/Concepts81.txt").write_text("cat\n")
    (folder / "ImageList").mkdir()
    (folder / "TrainTestLabels").mkdir()
    for part, name in (("Train", "a.jpg"), ("Test", "b.jpg")):
        (folder / f"ImageList/{part}Imagelist.txt").write_text(f"{name}\n")
        (folder / f"TrainTestLabels/Labels_cat_{part}.txt").write_text("1\n")
    return folder


def read(folder, name, content, **options):
    file = folder / ("VOC/Annotations/x.xml" if name == "voc" else "index")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_dataset({**SPECS[name], **options}, folder)


def error_of(folder, name, content, **options):
    with pytest.raises(DataError) as caught:
        read(folder, name, content, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    message.encode()
    return message


def coco(**changes):
    return json.dumps({**INSTANCES, **changes})


def annotated(field):
    """COCO instances with `field` in the annotation."""
    return coco().replace('"category_id": 5', f'"category_id": 5, {field}')


@pytest.mark.parametrize(
    "content",
    [
        *(coco().encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")),
        coco().replace('"id": 1,', '"id": 1.0,'),
        coco().replace('"id": 1,', '"id": "one",').replace('"image_id": 1', '"image_id": "one"'),
        coco(annotations=INSTANCES["annotations"] * 3),
        coco(categories=[{"id": 5, "name": " cat "}, {"id": 7, "name": "dog\n"}]),
        annotated('"area": NaN, "bbox": [Infinity, -Infinity, 0, 0]'),
        annotated('"iscrowd": true'),
        annotated('"iscrowd": null'),
        annotated('"score": 1e999, "segmentation": [[]]'),
    ],
    ids=range(13),
)
def test_coco_as_other_tools_write_it(folder, content):
    found = read(folder, "coco", content)
    assert (found.classes, found.ids) == (("cat", "dog"), ("a.jpg", "b.jpg"))
    assert found.labels.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (coco().replace('"id": 1,', '"id": "1",'), "annotation number 1 names image 1 and category 5"),
        (coco().replace('"id": 1,', '"id": true,'), r"got `bool` - at `$.images[0].id`"),
        (coco(images=[{"id": 1, "file_name": None}]), "got `null` - at `$.images[0].file_name`"),
        (coco(images=[{"id": 1, "file_name": "a.jpg\0"}]), r"'a.jpg\x00' cannot be a path"),
        (coco(images=[{"id": 1, "file_name": "\ud800"}]), r"'\ud800' cannot be a path"),
        (coco(images=[{"id": 1, "file_name": ""}]), "image 1: the image path is empty"),
        (coco(images=[{"id": "z" * 9999, "file_name": "../a.jpg"}], annotations=[]), "outside the image folder"),
        (coco(categories=[{"id": 5, "name": ""}]), "`categories`: a class has an empty name"),
        (coco(categories=[{"id": 5, "name": "\x1b[2J"}]), "holds a control character"),
        (coco(categories=[{"id": 5, "name": "\ud800"}]), "holds a control character"),
        (coco(categories=[{"id": 5, "name": "y" * 10**6}]), "has 1,000,000 characters"),
        (coco(categories=[{"id": 5, "name": "cat"}, {"id": 6, "name": " cat"}]), "'cat' is listed twice"),
        (coco(categories=[{"id": "5", "name": "cat"}]), "got `str` - at `$.categories[0].id`"),
        (annotated('"x": ' + "[" * 10**5 + "]" * 10**5), "nested too deep"),
        (annotated('"x": ' + "[" * 10**5), "nested too deep"),
        (coco().replace(": 5}", f": {'9' * 30}}}"), "category 999999999999999999999999999999"),
        (coco().replace(": 5}", f": {'9' * 9999}}}"), "Integer value out of range"),
        (coco().replace(": 5}", ": NaN}"), "category nan, which are not both listed"),
        *((text, "Expected `object`, got") for text in ("NaN", "[]", "3", '"x"', "null")),
        *((text, "not valid JSON") for text in ("", b"\xff", "{", "\0", b"\xff\xfea", "nul", '{"images": [}')),
    ],
    ids=range(30),
)
def test_faulty_coco(folder, content, expected):
    assert expected in error_of(folder, "coco", content)


def voc(label="dog", rest="", head=""):
    return f"{head}<annotation><object><name>{label}</name>{rest}</object></annotation>"


def declared(encoding):
    return f'<?xml version="1.0" encoding="{encoding}"?>\n'


@pytest.mark.parametrize(
    ("content", "label"),
    [
        *(
            (voc("猫", head=declared(name)).encode(name), "猫")
            for name in ("GB2312", "GBK", "GB18030", "UTF-16", "utf-8")
        ),
        (voc("猫", head=declared("Shift_JIS")).encode("gbk").replace("猫".encode("gbk"), b"dog"), "dog"),
        (voc(head=declared("windows-1252") + "<!-- café -->").encode("cp1252"), "dog"),
        (voc("猫", head=declared("GB2312") + "<!-- 镕 is in GBK alone -->").encode("gbk"), "猫"),
        (voc("猫").encode("utf-8-sig"), "猫"),
        (voc("猫").encode("utf-16-be"), "猫"),
        (voc("猫", head=declared("utf-8")).encode("utf-16"), "猫"),
        (voc("d<!-- a comment -->og\n", head="<!-- x --><?some instruction?>"), "dog"),
        (voc("<![CDATA[ dog ]]>"), "dog"),
        ('<annotation xmlns="http://x"><object><name>dog</name></object></annotation>', "dog"),
        (f"<annotation>{'<a>' * 10**5}{'</a>' * 10**5}<object><name>dog</name></object></annotation>", "dog"),
    ],
    ids=range(15),
)
def test_voc_annotations_as_other_tools_write_them(folder, content, label):
    found = read(folder, "voc", content)
    assert [name for name, on in zip(found.classes, found.labels[0], strict=True) if on == 1] == [label]


BOMB = '<!DOCTYPE a [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12)
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (voc("&m;", head=BOMB + "]>"), "declares a document type"),
        (voc("&x;", head='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "declares a document type"),
        (voc(head=declared("klingon")), "its encoding 'klingon' is not known; save it as UTF-8"),
        (voc(head=declared("rot13")), "its encoding 'rot13' is not known"),
        (voc(head=declared("zlib")), "its encoding 'zlib' is not known"),
        (voc(head=declared("unicode_escape")), "is not known"),
        (voc(head=declared("UTF-16")), "says that it is utf-16, but is not"),
        (voc("猫", head=declared("ascii")), "is not valid ascii (byte "),
        (voc("猫").encode("gbk")[:-10], "x.xml: "),
        (voc("vélo").encode("cp1252"), "is not valid utf-8 (byte "),
        (voc(""), "an <object> has no <name>"),
        (voc("y" * 10**5), "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'... is not one of the 3 classes"),
        (voc(rest="<difficult>Unspecified</difficult>"), "<difficult>Unspecified</difficult> is neither 1 nor 0"),
        (voc(rest="<difficult>2</difficult>"), "<difficult>2</difficult> is neither"),
        ("<html/>", "is no VOC annotation: its outermost element is <html>"),
        *((text, "not valid XML") for text in ("", "\0", "<a>" * 10**5, "<annotation>&#55296;</annotation>", "{}")),
    ],
    ids=range(20),
)
def test_faulty_voc_annotations(folder, content, expected):
    message = error_of(folder, "voc", content)
    assert expected in message
    assert "x.xml" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("path,cat\na.jpg,2\n", "line 2: '2' in the column 'cat' is not 1, 0, -1 or empty"),
        ("path,cat\na.jpg,0.5\n", "'0.5' in the column"),
        ("path,cat\na.jpg,inf\n", "'inf' in the column"),
        ("path,cat\na.jpg," + "x" * 10**5, "line 2: 'xxx"),
        ("path,labels\na.jpg,cat\nb.jpg," + "x" * 10**5, "is no class name: it has 100,000 characters"),
        ("path,labels\na.jpg," + "x" * 10**6, "field larger than field limit (131072)); is a quote left open?"),
        ('path,labels\na.jpg,"cat\nb.jpg,dog\n', "line 3: not valid CSV (unexpected end of data)"),
        ('path,labels\na.jpg,"a\nb"\n', r"the class name 'a\nb' holds a control character"),
        ("path,labels\na.jpg,\x1b[2J\n", "holds a control character"),
        ("path,cat\x07,dog\na.jpg,1,0\n", "line 1: the class name 'cat\\x07' holds a control character"),
        ("path,labels\na.jpg,ca\0t\n", "holds NUL characters"),
        ("path,labels\na.jpg,cat\n".encode("utf-16-le"), "holds NUL characters"),
        ("path,labels\na.jpg,vélo\n".encode("cp1252"), "is not UTF-8 text (byte 19)"),
        ("\n\npath,labels\na.jpg,cat\n", "its first line has no column `path` ('')"),
        ("path,labels\na.jpg,cat,dog\n", "line 2: 3 cells, but the header has 2"),
        ("path,cat\na.jpg\n", "line 2: 1 cells, but the header has 2"),
        ("path\na.jpg\n", "needs `labels` or one column per class"),
        ("path,labels\na.jpg,nan\n", "no image has a label"),
    ],
    ids=range(18),
)
def test_faulty_csv(folder, content, expected):
    assert expected in error_of(folder, "csv", content)


def test_many_columns_take_no_long(folder):
    names = [f"c{i}" for i in range(50_000)]
    start = time.perf_counter()
    found = read(folder, "csv", f"path,{','.join(names)}\na.jpg,{','.join('1' * 50_000)}\n", classes=names[::-1])
    assert found.labels.sum() == 50_000
    assert found.with_classes(names).classes[0] == "c0"
    assert time.perf_counter() - start < 10  # looking every name up in a list takes minutes


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("csv", "path,labels\n{0},cat\n{1},cat\n{2},cat\n", "index"),
        ("coco", '{{"images": [{{"id": 1, "file_name": "{0}"}}, {{"id": 2, "file_name": "{1}"}}, '
         '{{"id": 3, "file_name": "{2}"}}], "annotations": [], "categories": [{{"id": 1, "name": "cat"}}]}}', "index"),
    ],
)  # fmt: skip
def test_missing_images_are_counted_alike(folder, name, content, where, caplog):
    caplog.set_level(logging.WARNING)
    read(folder, name, content.format("a.jpg", "b.jpg", "c.jpg"))
    assert not caplog.records
    read(folder, name, content.format("a.jpg", "b.jpg", "missing.jpg"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{where}: 1 of its 3 images is missing ({folder / 'missing.jpg'})" in caplog.text
    message = error_of(folder, name, content.format("a.jpg", "one.jpg", "two.jpg"))
    assert f"{where}: 2 of its 3 images are missing ({folder / 'one.jpg'}, {folder / 'two.jpg'})" in message
    message = error_of(folder, name, content.format("0.jpg", "one.jpg", "two.jpg"))
    assert f"{where}: none of its 3 images exists" in message


@pytest.mark.parametrize("tag", [["csv"], None, 3, {}])
def test_a_format_that_is_no_name(folder, tag):
    with pytest.raises(ConfigError, match="`data.format`"):
        open_dataset({"format": tag}, folder)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": [False]}, "expected `str`, got `bool`. Put it in quotes if it is meant as text."),
        ({"path": 3}, "expected `str`, got `int`. Put it in quotes"),
        ({1: 2}, "a key is not text; put it in quotes"),
        ({"a\nb": 2}, r"unknown key `data.a\nb`"),
    ],
)
def test_options_of_another_type(folder, options, expected):
    with pytest.raises(ConfigError) as caught:
        open_dataset({**SPECS["csv"], **options}, folder)
    assert expected in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([1, "a.jpg", "cat"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "file_name", "image_id", "category_id", "iscrowd"]), inner)
    ),
    max_leaves=10,
)
WORDS = st.sampled_from(
    [
        *("path", "labels", "cat", "a.jpg", "b.jpg", "nan", "1", "0", "-1", "[", "]", "['cat']", "..", "/", "é"),
        *(",", ";", "|", "\n", "\r\n", '"', "'", "\t", "\0", "&", "&amp;", "<!--", "-->", "<![CDATA[", "]]>", "<?xml"),
        *("<annotation>", "</annotation>", "<object>", "</object>", "<name>", "</name>", "<difficult>", "</difficult>"),
    ]
)
CONTENTS = {
    "csv": st.lists(WORDS, max_size=25).map(lambda words: "path,labels\n" + "".join(words)),
    "coco": st.fixed_dictionaries(dict.fromkeys(INSTANCES, st.lists(JSON, max_size=3) | JSON)).map(json.dumps),
    "voc": st.lists(WORDS, max_size=25).map(lambda words: f"<annotation>{''.join(words)}</annotation>"),
    "nuswide": st.lists(WORDS, max_size=8).map("".join),
}


@pytest.mark.parametrize("name", CONTENTS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_content_gives_a_data_set_or_one_line(folder, name, data):
    content = data.draw(
        st.binary(max_size=60) | st.text(max_size=40).map(lambda t: t.encode("utf-16")) | CONTENTS[name]
    )
    try:
        found = read(folder, name, content)
    except EdgedistillError as error:
        found = str(error)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert isinstance(found, Dataset)
        assert len(found.fingerprint()) == 64
        assert set(found.labels.flat) <= {-1, 0, 1}
