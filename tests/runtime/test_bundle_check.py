"""A manifest that is valid JSON and nonsense, and paths that leave the bundle: one clear line each, on every system."""

import pytest

from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.bundle.check import path_problem
from edgedistill.runtime.errors import BundleError

NAN = float("nan")


def put(path: str, value: object):
    """Set one place of a manifest; numbers in the dotted path are indices."""

    def change(manifest: dict) -> None:
        *parents, last = [int(part) if part.lstrip("-").isdigit() else part for part in path.split(".")]
        for part in parents:
            manifest = manifest[part]
        manifest[last] = value

    return change


def repeat(path: str):
    """Append the first entry of a list once more."""

    def change(manifest: dict) -> None:
        for part in path.split("."):
            manifest = manifest[int(part) if part.isdigit() else part]
        manifest.append(manifest[0])

    return change


def point(**changes: object):
    """Give the first artifact an operating point that is sound but for the changes."""
    sound = {
        "thresholds": [0.5] * 4,
        "temperature": 1.5,
        "rule": "best_f1",
        "ece_before": 3.0,
        "ece_after": 2.0,
        "dataset": "validation",
        "fingerprint": "ab",
        "images": 100,
    }
    return put("artifacts.0.operating_point", sound | changes)


def observed(**changes):
    """An otherwise sound record of the first artifact's outputs."""
    logits = {"path": "reference/observed/a.npy", "sha256": "0" * 64, "bytes": 320}
    sound = {"dataset": "val", "fingerprint": "ab", "images": 12, "logits": logits, "reported": [0.5] * 4}
    return put("artifacts.0.observed", sound | changes)


def both(*changes):
    def change(manifest: dict) -> None:
        for one in changes:
            one(manifest)

    return change


BATCH, GATES, GOLDEN = "artifacts.0.target.batch", "artifacts.0.target.gates", "selftest.0"
NONSENSE = [
    ("batch 0", put(f"{BATCH}.min", 0), "artifact ort-fp32: batch min 0"),
    ("batch -1", put(f"{BATCH}.max", -1), "batch min 1, typical 1, max -1"),
    ("batch 10^7", put(f"{BATCH}.max", 10**7), "max 10000000"),
    ("batch out of order", put(f"{BATCH}.typical", 5), "min 1, typical 5, max 4"),
    ("batch 2^70", put(f"{BATCH}.max", 2**70), "max 1180591620717411303424"),
    ("size 0", put("preprocessing.size", [0, 16]), "`preprocessing.size` is [0, 16]"),
    ("size -4", put("preprocessing.size", [16, -4]), "`preprocessing.size` is [16, -4]"),
    ("size 10^6", put("preprocessing.size", [10**6, 16]), "`preprocessing.size` is [1000000, 16]"),
    ("size 2^70", put("preprocessing.size", [2**70, 16]), "preprocessing.size"),
    ("one side", put("preprocessing.size", [16]), "preprocessing.size"),
    ("a size that is not the graph's", put("preprocessing.size", [32, 16]), "uint8 (batch, 16, 16, 3)"),
    ("a mean that is no number", put("preprocessing.mean", [NAN, 0, 0]), "malformed"),
    ("an endless mean", put("preprocessing.mean", [1e999, 0, 0]), "preprocessing.mean"),
    ("std 0", put("preprocessing.std", [1, 0, 1]), "`preprocessing.std` must be above 0"),
    ("std -1", put("preprocessing.std", [1, -1, 1]), "`preprocessing.std` must be above 0"),
    ("no input", put("inputs", []), "`inputs` holds 0 tensors"),
    ("two inputs", repeat("inputs"), "`inputs` holds 2 tensors"),
    ("an input without a name", put("inputs.0.name", ""), "a name of `inputs` or `outputs` is empty"),
    ("input of a wrong dtype", put("inputs.0.dtype", "float32"), "`input` uint8_nhwc of 16x16"),
    ("input of a wrong layout", put("inputs.0.shape", ["batch", 3, 16, 16]), "`inputs` says image: uint8 (batch, 3"),
    (
        "input of three dimensions",
        put("inputs.0.shape", ["batch", 16, 16]),
        "`inputs` says image: uint8 (batch, 16, 16)",
    ),
    ("input kind against inputs", put("input", "float32_nchw"), "`input` float32_nchw of 16x16"),
    ("a dimension of 0", put("inputs.0.shape", ["batch", 0, 16, 3]), "a dimension below 1"),
    ("a batch dimension of 0", put("inputs.0.shape", [0, 16, 16, 3]), "a dimension below 1"),
    ("no output", put("outputs", []), "`outputs` lacks 'logits'"),
    ("one output", lambda m: m["outputs"].pop(), "`outputs` lacks 'probabilities'"),
    ("an output twice", repeat("outputs"), "`outputs` holds a name twice"),
    ("output of a wrong dtype", put("outputs.0.dtype", "float16"), "`outputs` says logits: float16"),
    ("no classes", both(put("classes", []), put("thresholds", [])), "`classes` holds 0 names"),
    ("one class fewer", lambda m: (m["classes"].pop(), m["thresholds"].pop()), "3 classes need logits: float32 (?, 3)"),
    (
        "one class more",
        lambda m: (m["classes"].append("x"), m["thresholds"].append(0.5)),
        "5 classes need logits: float32 (?, 5)",
    ),
    ("a class twice", put("classes.1", "red"), "`classes` holds 'red' twice"),
    ("a class without a name", put("classes.1", " "), "`classes` holds an empty name"),
    ("a threshold fewer", lambda m: m["thresholds"].pop(), "3 thresholds for 4 classes"),
    ("threshold 7", put("thresholds.2", 7), "the threshold of 'blue' is 7"),
    ("threshold -1", put("thresholds.0", -1), "the threshold of 'red' is -1"),
    ("an endless threshold", put("thresholds.0", 1e999), "threshold"),
    ("own thresholds fewer", point(thresholds=[0.5] * 3), "ort-fp32: 3 thresholds for 4 classes"),
    ("an own threshold of 7", point(thresholds=[0.5, 0.5, 7, 0.5]), "ort-fp32: the threshold of 'blue' is 7"),
    ("temperature 0", point(temperature=0), "ort-fp32: temperature 0: needs 0.01 to 100"),
    ("temperature -1", point(temperature=-1), "ort-fp32: temperature -1: needs 0.01 to 100"),
    ("an endless temperature", point(temperature=1e999), "temperature"),
    ("a temperature that is no number", point(temperature=NAN), "malformed"),
    ("an error below 0", point(ece_after=-1), "ort-fp32: a calibration error that is not within 0 and 100 points"),
    ("estimated on nothing", point(images=0), "ort-fp32: an operating point of 0 images"),
    ("a class of nowhere missed", point(missed=["x"]), "ort-fp32: its operating point names 'x', which is none of"),
    ("observed on nothing", observed(images=0), "ort-fp32: outputs observed on 0 images"),
    ("observed of fewer classes", observed(reported=[0.5]), "ort-fp32: 1 observed shares for 4 classes"),
    ("an observed share of 7", observed(reported=[0.5, 7, 0, 0]), "ort-fp32: an observed share that is not within"),
    ("observed outside", observed(logits={"path": "../x", "sha256": "0" * 64, "bytes": 1}), "leaves the bundle"),
    (
        "half of an embedding",
        observed(embedding={"path": "x.npy", "sha256": "0" * 64, "bytes": 1}),
        "ort-fp32: an observed embedding without its projections",
    ),
    ("an artifact twice", repeat("artifacts"), "the artifact name 'ort-fp32' is empty or there twice"),
    ("an artifact without a name", put("artifacts.0.name", ""), "the artifact name '' is empty or there twice"),
    ("verified without a file", put("artifacts.0.files", []), "ort-fp32 is verified and has no file"),
    ("a parity below 0", put("artifacts.0.parity.max_abs_logit", -1), "ort-fp32: its parity is no number"),
    ("an endless parity", put("artifacts.0.parity.max_abs_logit", 1e999), "parity"),
    ("golden logits fewer", lambda m: m["selftest"][0]["logits"].pop(), "3 golden logits for 4 classes"),
    ("golden logits of one image more", lambda m: m["selftest"][1]["logits"].append(0), "5 golden logits for 4"),
    ("an endless golden logit", put(f"{GOLDEN}.logits.0", 1e999), "logits"),
    ("threads 100000", put("artifacts.0.target.threads", 100_000), "ort-fp32: threads 100000: needs 1 to 1024"),
    ("threads 0", put("artifacts.0.target.threads", 0), "ort-fp32: threads 0"),
    ("a gate of 0", put(GATES, {"max_p95_ms": 0}), "ort-fp32: gates.max_p95_ms 0: needs more than 0"),
    ("a gate in words", put(GATES, {"max_bytes": "small"}), "ort-fp32: gates: Expected `int | null`"),
    ("confidence 1", put(GATES, {"confidence": 1}), "gates.confidence 1"),
    ("a lineage of nobody", put("lineage", {"networks": []}), "its lineage names no network"),
    (
        "a lineage beyond 100",
        put("lineage", {"networks": [{"role": "student", "model": "m", "mAP": 101}]}),
        "its lineage gives 'm' points that are not within 0 and 100",
    ),
    (
        "a document outside",
        put("documents", [{"path": "../README.md", "sha256": "a" * 64, "bytes": 1}]),
        "leaves the bundle",
    ),
    ("a split twice", repeat("references"), "`references` holds one split twice"),
    ("a hash too short", put("artifacts.0.files.0.sha256", "ab"), "its sha256 is not 64 hexadecimal digits"),
    ("a hash in capitals", put("artifacts.0.files.0.sha256", "A" * 64), "its sha256 is not 64 hexadecimal digits"),
    ("bytes -1", put("artifacts.0.files.0.bytes", -1), "onnx/model.fp32.onnx: has -1 bytes"),
    ("bytes beyond memory", put("artifacts.0.files.0.bytes", 2**62), "onnx/model.fp32.onnx: has 4611686018427387904"),
    ("one path, two contents", put(f"{GOLDEN}.file.path", "onnx/model.fp32.onnx"), "listed twice, with different"),
    ("two paths that differ by case", put(f"{GOLDEN}.file.path", "selftest/TEAL.jpg"), "listed twice, with different"),
    ("a file that is the manifest", put(f"{GOLDEN}.file.path", "Manifest.json"), "may not be listed"),
    ("a file among the results", put(f"{GOLDEN}.file.path", "results/x/y.json"), "may not be listed"),
    ("schema 0", put("schema_version", 0), "schema 0 does not exist"),
    ("schema -5", put("schema_version", -5), "schema -5 does not exist"),
    ("schema 2", put("schema_version", 2), "schema 2 is newer than this edgedistill reads (1): upgrade with"),
    ("schema in words", put("schema_version", "1"), "damaged or not a manifest (Expected `int`, got `str`"),
    ("no schema", lambda m: m.pop("schema_version"), "damaged or not a manifest (Object missing required field"),
]


@pytest.mark.parametrize(("change", "says"), [row[1:] for row in NONSENSE], ids=[row[0] for row in NONSENSE])
def test_nonsense_is_one_clear_line(golden_copy, tmp_path, change, says):
    root = golden_copy(tmp_path / "b", change)
    path = root / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Infinity", "1e999"), encoding="utf-8")  # valid JSON
    with pytest.raises(BundleError) as caught:
        open_bundle(root)
    assert says in str(caught.value)
    assert str(root / "manifest.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sound_operating_point_is_none_of_it(golden_copy, tmp_path):
    change = point(missed=["red"], without_positives=["blue"])
    first = open_bundle(golden_copy(tmp_path / "b", change)).manifest.artifacts[0]
    assert (first.operating_point.temperature, first.operating_point.missed) == (1.5, ("red",))


TEXTS = {
    "empty": (b"", "damaged or not a manifest"),
    "a list": (b"[]", "Expected `object`, got `array`"),
    "null": (b"null", "Expected `object`, got `null`"),
    "half": (b'{"schema_version": 1, "name": "t', "damaged or not a manifest"),
    "not UTF-8": (b'{"schema_version": 1, "name": "\xff"}', "damaged or not a manifest"),
    "UTF-16": ('{"schema_version": 1}'.encode("utf-16"), "damaged or not a manifest"),
    "nested 200,000 deep": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "damaged or not a manifest"),
    "unclosed 200,000 deep": (b'{"a":' * 200_000, "damaged or not a manifest"),
    "NaN": (b'{"schema_version": NaN}', "damaged or not a manifest"),
    "a browser extension's": (b'{"manifest_version": 3, "name": "x"}', "missing required field `schema_version`"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_manifest_is_one_clear_line(tmp_path, name):
    data, says = TEXTS[name]
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_manifest_of_gigabytes_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "manifest.json").open("wb") as stream:
        stream.truncate(5 << 30)
    with pytest.raises(BundleError, match="is larger than 64 MB: no manifest"):
        open_bundle(tmp_path)


def test_the_command_line_says_it_too(golden_copy, tmp_path, command):
    root = golden_copy(tmp_path / "b", put("thresholds.0", 7))
    for name, more in (("inspect", ()), ("selftest", ()), ("predict", (root / "selftest" / "red.jpg",)), ("bench", ())):
        code, out, err = command(name, root, *more)
        assert (code, out) == (2, "")
        assert "the threshold of 'red' is 7" in err
        assert "Traceback" not in err


LEAVES = {
    "up": "../x",
    "up in the middle": "onnx/../../x",
    "up at the end": "onnx/..",
    "here": "./x",
    "twice a slash": "onnx//x",
    "a slash at the end": "onnx/",
    "absolute": "/etc/passwd",
    "two slashes first": "//server/share/x",
    "Windows up": r"..\..\x",
    "Windows folder": r"onnx\x",
    "mixed": r"onnx/..\..\x",
    "Windows drive": "C:/x",
    "Windows drive, backslash": r"C:\x",
    "relative to a drive": "C:x",
    "small drive": "d:x",
    "server": r"\\server\share\x",
    "device namespace": r"\\?\C:\x",
    "Windows root": r"\x",
    "empty": "",
    "dot": ".",
    "two dots": "..",
}
IMPOSSIBLE = {
    "device": "NUL",
    "device in a folder": "onnx/nul",
    "folder as a device": "AUX/x",
    "device with a suffix": "con.txt",
    "device with two suffixes": "com1.tar.gz",
    "device and a space": "NUL .txt",
    "device with a superscript": "COM¹",
    "console": "CONIN$",
    "printer": "lpt9.bin",
    "stream": "ab:c",
    "stream of a folder": "onnx/model.onnx:hidden",
    "trailing dot": "x.",
    "trailing space": "x ",
    "trailing dot of a folder": "onnx./x",
    "three dots": "onnx/.../x",
    "wildcard": "a*b",
    "question": "a?b",
    "pipe": "a|b",
    "quote": 'a"b',
    "less": "a<b",
    "zero": "a\0b",
    "new line": "a\nb",
    "tab": "a\tb",
    "delete": "a\x7fb",
    "escape": "a\x1b[31mb",
    "right to left": "model\u202exno.exe",
    "zero width": "mod\u200bel.onnx",
    "half a character": "a\ud800b",
    "too long a part": "x" * 256,
}
FINE = (
    "x",
    "onnx/model.fp32.onnx",
    "selftest/00.jpg",
    ".hidden",
    "a..b",
    "console.txt",
    "com10",
    "nulls",
    "Größe/日本.png",
)


@pytest.mark.parametrize("path", LEAVES.values(), ids=LEAVES.keys())
def test_a_path_that_leaves_the_bundle_on_any_system_is_refused(path):
    assert path_problem(path) == f"the file path {path!r} leaves the bundle: refused"


@pytest.mark.parametrize("path", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_path_that_some_system_reads_otherwise_is_refused(path):
    problem = path_problem(path)
    assert problem == f"the file path {path!r} is not possible on every system: refused"
    assert problem.isprintable()


@pytest.mark.parametrize("path", FINE)
def test_other_paths_are_fine(path):
    assert path_problem(path) == ""


@pytest.mark.parametrize("place", ["artifacts.0.files.0", "selftest.0.file", "references.0.file"])
def test_every_listed_path_is_checked(golden_copy, tmp_path, place):
    root = golden_copy(tmp_path / "b", put(f"{place}.path", r"..\..\secret"))
    with pytest.raises(BundleError, match="leaves the bundle"):
        open_bundle(root)


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("Onnx/x", "onnx"), ("a/b", "A/B/c")])
def test_a_file_that_is_a_folder_too_is_refused(golden_copy, tmp_path, one, other):
    change = both(put("selftest.0.file.path", one), put("selftest.1.file.path", other))
    with pytest.raises(BundleError, match="both a file and a folder"):
        open_bundle(golden_copy(tmp_path / "b", change))


def test_accents_written_in_two_ways_are_one_file(golden_copy, tmp_path):
    change = both(put("selftest.0.file.path", "caf\u00e9.jpg"), put("selftest.1.file.path", "cafe\u0301.jpg"))
    with pytest.raises(BundleError, match="listed twice, with different contents"):
        open_bundle(golden_copy(tmp_path / "b", change))
