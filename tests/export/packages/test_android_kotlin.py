"""The Kotlin of a generated Android app: compiled whole, its core run on a JVM beside Python."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from npm import npm_packages
from PIL import Image, ImageOps

from edgedistill import runtime
from edgedistill.runtime.preprocess import Preprocessing, normalize

pytestmark = pytest.mark.slow  # the compiler takes a dozen seconds

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("bundle_schema_*"))
HERE = Path(__file__).parent / "android"
JSON = Path("/usr/share/java/com.android.json.jar")  # org.json, which Android has within it


@pytest.fixture(scope="module")
def compiled(generated, shared_folder, once):
    """The class path of the app and of `Main.kt`; the whole is compiled without a warning."""
    if not shutil.which("java"):
        pytest.skip("needs java: `apt-get install default-jre-headless`")
    if not JSON.exists():
        pytest.skip("needs org.json: `apt-get install libandroid-json-java`")
    project = generated("android")
    version = re.search(r'kotlin\.android"\) version "([\d.]+)"', (project / "build.gradle.kts").read_text())[1]
    home = npm_packages(f"kotlin-compiler@{version}") / "kotlin-compiler"

    def build(out: Path) -> None:
        stubs = out.with_name("android_stubs")
        for line in (HERE / "stubs.txt").read_text().splitlines():
            if found := re.match(r"package ([\w.]+); public (?:final |abstract )*(?:class|interface|enum) (\w+)", line):
                place = stubs / found[1].replace(".", "/") / f"{found[2]}.java"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(line)
        (snippet,) = re.findall(r"```kotlin\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
        example = out.with_name("Snippet.kt")
        head = "package edgedistill.app\n\nfun example(context: android.content.Context, jpegBytes: ByteArray) {\n"
        example.write_text(f"{head}{snippet}}}\n")
        command = ["java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-cp", home / "lib/kotlin-compiler.jar"]
        command += ["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-kotlin-home", home, "-no-reflect", "-Werror"]
        command += ["-jvm-target", "17", "-cp", JSON, "-d", out, project / "app/src/main/kotlin"]
        command += [HERE / "Main.kt", example, stubs]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    classes = once(shared_folder / "android_classes", build)
    return f"{classes}:{JSON}:{home / 'lib/kotlin-stdlib.jar'}"


@pytest.fixture
def ask(compiled, tmp_path):
    """Answers of the core to many questions, in one process."""

    def run(questions: list[dict]) -> list:
        (tmp_path / "cases.json").write_text(json.dumps(questions))
        subprocess.run(["java", "-cp", compiled, "MainKt", str(tmp_path)], check=True, timeout=120)
        return json.loads((tmp_path / "answers.json").read_text())

    return run


def test_its_resize_is_pillows(ask, resize_cases, compare_resized, tmp_path):
    questions = []
    for i, case in enumerate(resize_cases):
        (tmp_path / f"{i}.in").write_bytes(case.image.tobytes())
        height, width = case.image.shape[:2]
        to = case.preprocessing
        how = {"center_crop": to.resize == "center_crop", "bicubic": to.interpolation == "bicubic"}
        question = {"ask": "resize", "width": width, "height": height, "size": to.size, **how}
        questions.append({**question, "pixels": f"{i}.in", "out": f"{i}.out"})
    assert ask(questions) == ["written"] * len(questions)
    given = [
        np.frombuffer((tmp_path / f"{i}.out").read_bytes(), np.uint8).reshape(*case.preprocessing.size, 3)
        for i, case in enumerate(resize_cases)
    ]
    compare_resized(resize_cases, given)


def test_it_turns_and_composites_as_python_does(ask, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
    (tmp_path / "rgba").write_bytes(pixels.tobytes())
    Image.fromarray(pixels).save(tmp_path / "image.png")
    questions, wanted = [], []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels[..., :3]).save(tmp_path / f"{orientation}.jpg", exif=exif)
        shape = {"width": 5, "height": 7, "orientation": orientation}
        questions.append({"ask": "upright", "pixels": "rgba", "out": f"{orientation}.out", **shape})
        questions.append({"ask": "orientation", "file": f"{orientation}.jpg"})
        flat = runtime.preprocess.open_image(tmp_path / "image.png")
        flat.getexif()[0x0112] = orientation
        wanted.append(ImageOps.exif_transpose(flat))
    answers = ask(questions)
    for orientation, image in enumerate(wanted, start=1):
        got = np.frombuffer((tmp_path / f"{orientation}.out").read_bytes(), np.uint8)
        assert answers[2 * orientation - 2] == list(image.size)
        assert np.array_equal(got.reshape(image.height, image.width, 3), np.asarray(image))
        assert answers[2 * orientation - 1] == orientation


def test_the_screen_shows_what_the_network_sees(ask, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    (tmp_path / "pixels").write_bytes(pixels.tobytes())
    case = {"ask": "preview", "pixels": "pixels", "width": 10, "height": 7}
    for longest, step in ((4, 3), (10, 1), (99, 1)):
        ((width, height, argb),) = ask([{**case, "longest": longest}])
        shown = np.array(argb, np.int64).astype(np.uint32).reshape(height, width, 1) >> np.array([24, 16, 8, 0]) & 255
        assert (shown[..., 0] == 255).all()
        assert np.array_equal(shown[..., 1:], pixels[::step, ::step])


def test_a_damaged_exif_block_means_upright(ask, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 4)).save(tmp_path / "whole.jpg", exif=exif)
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:44])
    (tmp_path / "none.jpg").write_bytes(b"\x89PNG")
    (tmp_path / "empty.jpg").write_bytes(b"")
    names = ("whole.jpg", "cut.jpg", "none.jpg", "empty.jpg")
    assert ask([{"ask": "orientation", "file": name} for name in names]) == [6, 1, 1, 1]


@pytest.mark.parametrize("temperature", [None, 1.7])
def test_its_labels_are_pythons(temperature, ask, tiny_bundle, at_operating_point, tmp_path):
    bundle = runtime.open_bundle(tiny_bundle)
    if temperature is not None:
        bundle = at_operating_point(bundle, "ort-fp32", temperature, (0.3, 0.9, 0.5, 0.05))
    (tmp_path / "manifest.json").write_bytes(runtime.bundle.manifest.encode_manifest(bundle.manifest))
    with runtime.load(tiny_bundle, backend="onnxruntime") as predictor:
        images = np.stack([predictor._load(one, bundle.manifest.preprocessing) for one in photographs(tiny_bundle)])
        logits, probabilities = predictor.infer(images)
    artifact = bundle.manifest.artifacts[0]
    thresholds = bundle.manifest.thresholds_of(artifact)
    questions = [
        {"ask": "labels", "manifest": "manifest.json", "artifact": "ort-fp32", "logits": a, "probabilities": b}
        for a, b in zip(logits.tolist(), probabilities.tolist(), strict=True)
    ]
    for answer, row in zip(ask(questions), artifact.calibrated(logits, probabilities), strict=True):
        order = np.argsort(-row, kind="stable")
        assert [name for name, _, _ in answer] == [bundle.manifest.classes[i] for i in order]
        assert [present for _, _, present in answer] == [bool(row[i] >= thresholds[i]) for i in order]
        assert np.allclose([probability for _, probability, _ in answer], row[order], rtol=3e-7, atol=0)


def photographs(bundle: Path) -> list[Path]:
    return sorted((bundle / "selftest").iterdir())


def test_what_is_not_as_listed_is_refused(ask, tiny_bundle, tmp_path):
    whole = json.loads((tiny_bundle / "manifest.json").read_text())
    changed = {
        "schema": {"schema_version": 2},
        "classes": {"classes": ["a", "a"]},
        "thresholds": {"thresholds": [0.5]},
        "beyond": {"thresholds": [0.5, 0.5, 0.5, 1.5]},
        "input": {"input": "bfloat16"},
        "filter": {"preprocessing": {**whole["preprocessing"], "interpolation": "lanczos"}},
        "resize": {"preprocessing": {**whole["preprocessing"], "resize": "letterbox"}},
        "size": {"preprocessing": {**whole["preprocessing"], "size": [0, 5]}},
        "cold": {
            "artifacts": [{**whole["artifacts"][0], "operating_point": {"thresholds": [0.5] * 4, "temperature": 0}}]
        },
    }
    common = {"ask": "labels", "artifact": "ort-fp32", "logits": [0, 0, 0, 0], "probabilities": [0, 0, 0, 0]}
    questions: list[dict] = [{"ask": "file", "bundle": str(tiny_bundle)}]
    for name, change in changed.items():
        (tmp_path / name).write_text(json.dumps({**whole, **change}))
        questions.append({**common, "manifest": name})
    (tmp_path / "half").write_text(json.dumps(whole)[:200])
    (tmp_path / "whole").write_text(json.dumps({**whole, "unknown": {"of": "later"}}))
    questions += [{**common, "manifest": "half"}, {**common, "manifest": "whole"}]
    questions.append({**common, "manifest": "whole", "probabilities": [0, 0, 0]})
    for golden in GOLDEN:  # what earlier versions wrote
        shutil.copyfile(golden / "manifest.json", tmp_path / golden.name)
        questions.append({**common, "manifest": golden.name})
    answers = ask(questions)
    assert [len(one) for one in answers[-len(GOLDEN) :]] == [4] * len(GOLDEN)
    *refused, accepted, short = answers[: -len(GOLDEN)]
    assert len(accepted) == 4
    for answer in (*refused, short):
        assert set(answer) == {"refused"}, answer
        assert "\n" not in answer["refused"]
    assert "SHA-256" in refused[0]["refused"]
    assert "lanczos" in refused[6]["refused"]


def test_the_graphs_input_is_pythons(ask, tiny_bundle, tmp_path):
    whole = json.loads((tiny_bundle / "manifest.json").read_text())
    to = {"size": [5, 4], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    images = np.random.default_rng(0).integers(0, 256, (1, 5, 4, 3), dtype=np.uint8)
    (tmp_path / "pixels").write_bytes(images.tobytes())
    questions = []
    for kind in ("uint8_nhwc", "float32_nchw"):
        (tmp_path / kind).write_text(json.dumps({**whole, "input": kind, "preprocessing": to}))
        questions.append({"ask": "input", "manifest": kind, "pixels": "pixels", "batch": 2, "out": f"{kind}.out"})
    assert ask(questions) == ["written", "written"]
    assert (tmp_path / "uint8_nhwc.out").read_bytes() == images.tobytes() * 2
    preprocessing = Preprocessing(size=(5, 4), mean=tuple(to["mean"]), std=tuple(to["std"]))
    wanted = np.repeat(normalize(images, preprocessing), 2, axis=0)
    got = np.frombuffer((tmp_path / "float32_nchw.out").read_bytes(), np.float32).reshape(wanted.shape)
    assert np.allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_the_verdict_of_a_selftest(ask):
    case = {"ask": "selftest", "expected": [1, 2], "given": [1.5, 2], "largest": 0.6, "mean": None}
    assert ask([case, {**case, "largest": 0.4}, {**case, "mean": 0.2}, {**case, "mean": 0.3}]) == [
        *(True, False, False, True)
    ]
