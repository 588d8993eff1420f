"""`study` as a user runs it: what is finished is kept, in folders or the record alone."""

import importlib.util
import json
import math
import shutil
import statistics
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from study_cases import SMALL, cells, checkpoints, pretend, results

from edgedistill.distill.methods import build_method
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.distill.study import Store, load_study
from edgedistill.distill.study.identity import identity_of_student

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.usefixtures("one_thread")  # trainings are repeated to the bit


def test_every_cell_is_an_ordinary_run_and_the_rest_is_listed_as_not_run(where, ran, command):
    found = cells(ran)
    assert [name for name in found if "large" not in name] == list(SMALL)
    assert list(found)[:5] == ["teacher/3", "small/vanilla/3", "small/strong/3", "large/vanilla/3", "large/strong/3"]
    assert {name for name, cell in found.items() if cell["status"] == "not run"} == {
        f"large/{method}/{seed}" for method in ("vanilla", "strong") for seed in (3, 4)
    }
    done = results(ran)
    for seed in (3, 4):
        assert done[f"small/strong/{seed}"]["teacher_sha256"] == done[f"teacher/{seed}"]["weights_sha256"]
        assert done[f"small/vanilla/{seed}"]["teacher_sha256"] is None
    assert done["small/strong/3"]["method"]["lambda_mld"] == 5
    (student,) = (where / "runs" / "study" / "small").glob("strong-seed3-*/student/student.safetensors")
    code, out, err = command("evaluate", where / "recipe.yaml", "--student", student, "--json")
    assert code == 0, err
    assert json.loads(out)["mAP"] == done["small/strong/3"]["test_mAP"]
    summary = json.loads((student.parent / "summary.json").read_text())
    assert summary["best"]["val_mAP"] == pytest.approx(done["small/strong/3"]["validation_mAP"])
    machine = json.loads(ran.read_text())["machines"][done["small/strong/3"]["machine"]]
    assert machine["cores"] >= 1
    assert "torch" in machine["libraries"]


def test_rows_are_mean_deviation_and_paired_gain(ran):
    record, done = json.loads(ran.read_text()), results(ran)
    rows = {(row["student"], row["method"]): row for row in record["rows"]}
    vanilla, strong = ([done[f"small/{name}/{seed}"]["test_mAP"] for seed in (3, 4)] for name in ("vanilla", "strong"))
    found = rows["small", "strong"]
    assert found["test_mAP"]["mean"] == pytest.approx(statistics.fmean(strong))
    assert found["test_mAP"]["deviation"] == pytest.approx(statistics.stdev(strong))
    differences = [taught - alone for taught, alone in zip(strong, vanilla, strict=True)]
    half = 12.706205 * statistics.stdev(differences) / math.sqrt(2)  # t(0.975, 1)
    middle = statistics.fmean(differences)
    interval = found["gain"]["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((middle - half, middle + half), rel=1e-6)
    assert rows["small", "vanilla"]["gain"] is None
    assert rows["teacher", ""]["gain"] is None
    assert rows["large", "strong"] == {
        "student": "large", "method": "strong", "planned": 2, "seeds": [], "failed": 0, "test_mAP": None, "gain": None,
        "gain_seeds": [], "validation": None, "other_tests": {},
    }  # fmt: skip


def test_the_test_split_stays_unread_until_it_is_asked_for(where, ran, command, monkeypatch, tmp_path):
    """The queue reads no test image; `--test` scores what it trained, to the digit as a cell does at its end."""
    more = {"score_test": "when_asked", "other_tests": {"again": {"format": "csv", "path": "test.csv"}}}
    content = yaml.safe_load((where / "study.yaml").read_text()) | more
    (where / "unread.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    record = tmp_path / "record.json"
    arguments = ("study", where / "unread.yaml", f"output={tmp_path}", "--results", record)
    with monkeypatch.context() as patch:
        patch.setattr("edgedistill.distill.study.run.score", None)
        code, out, err = command(*arguments, "--only", "small/*/3")
    assert code == 0, err
    assert "the test split is not read" in err
    assert "validation mAP, the test split being unread" in " ".join(out.split())
    unread = results(record)
    assert {(one["test_mAP"], one["test_scored"]) for one in unread.values()} == {(None, False)}
    code, _, err = command(*arguments, "--test")
    assert code == 2
    assert "--test: 7 of 10 cells are not done (large/vanilla/3, large/strong/3, teacher/4, ...)" in err
    code, out, err = command(*arguments, "--test", "--only", "small/*/3", "--only", "teacher/3")
    assert code == 0, err
    expected, scored = results(ran), results(record)
    assert set(scored) == {"teacher/3", "small/vanilla/3", "small/strong/3"}
    for name, one in scored.items():
        assert one["test_mAP"] == expected[name]["test_mAP"], name
        assert one["other_tests"] == {"again": one["test_mAP"]}
        assert one["validation_mAP"] == unread[name]["validation_mAP"]
    assert "test mAP" in out
    assert "again mAP" in out
    rows = {row["method"]: row for row in json.loads(record.read_text())["rows"] if row["student"] == "small"}
    assert rows["strong"]["other_tests"]["again"]["gain"] == rows["strong"]["gain"]
    before = record.read_bytes()
    assert command(*arguments, "--test", "--only", "small/*/3")[0] == 0
    assert record.read_bytes() == before, "what is scored is not read again"
    content = json.loads(before)
    for cell in content["cells"]:
        if cell["result"]:
            cell["result"] |= {"test_scored": False}
    record.write_text(json.dumps(content))
    (weights,) = tmp_path.glob("unread/small/vanilla-seed3-*/student/student.safetensors")
    weights.unlink()
    code, _, err = command(*arguments, "--test", "--only", "small/vanilla/3")
    assert code == 2
    assert f"error: small/vanilla/3: its weights are not here ({weights}), only its result is" in err


def test_a_cell_that_is_the_same_training_as_another_is_scored_by_its_weights(where, ran, command, tmp_path):
    shutil.copytree(where / "runs" / "study", tmp_path / "study")
    content = yaml.safe_load((where / "study.yaml").read_text()) | {"name": "study", "score_test": "when_asked"}
    content["methods"]["again"] = content["methods"]["strong"]
    (where / "twice.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    unread, record = json.loads(ran.read_text()), tmp_path / "record.json"
    for cell in unread["cells"]:
        if cell["result"]:
            cell["result"] |= {"test_mAP": None, "test_scored": False}
    record.write_text(json.dumps(unread))
    arguments = ("study", where / "twice.yaml", f"output={tmp_path}", "--results", record, "--test")
    code, _, err = command(*arguments, "--only", "small/*/3")
    assert code == 0, err
    found, expected = results(record), results(ran)
    for name in ("strong", "again"):
        assert found[f"small/{name}/3"]["test_mAP"] == expected["small/strong/3"]["test_mAP"]


def test_how_hard_each_term_of_a_cell_pulls_is_measured(where, ran):
    """benchmarks/term_gradients.py on a cell: shares of all terms, and a training of its own that leaves nothing."""
    spec = importlib.util.spec_from_file_location("term_gradients", BENCHMARKS / "term_gradients.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = checkpoints(where / "runs")
    found = module.measure(module.find([load_study(where / "study.yaml")], "small", "strong", 3), [0, 1])
    assert list(found) == [0, 1]
    for pulls in found.values():
        assert pulls.keys() == {"bce", "mld", module.LABELS}
        assert pulls["bce"]["share"] + pulls["mld"]["share"] == pytest.approx(1)
        assert pulls["bce"]["cosine"] == pytest.approx(1, abs=1e-5)
        assert pulls[module.LABELS]["share"] is None
    assert checkpoints(where / "runs") == before


def test_finished_folders_are_loaded_into_a_new_record(where, ran, command, tmp_path):
    before = checkpoints(where / "runs")
    assert len(before) == 6
    fresh = tmp_path / "fresh.json"
    code, _, err = command("study", where / "study.yaml", "--only", "small/*", "--results", fresh)
    assert code == 0, err
    assert results(fresh) == {name: one for name, one in results(ran).items() if name.startswith("small")}
    code, _, err = command("study", where / "study.yaml", "--only", "teacher/*", "--results", fresh)
    assert code == 0, err
    assert results(fresh) == results(ran)
    assert checkpoints(where / "runs") == before


def test_the_record_alone_is_enough_to_go_on_elsewhere(where, ran, command, tmp_path):
    """What is recorded is not run again; a cell that is left trains its teacher again, which has no folder here."""
    content = json.loads(ran.read_text())
    (left,) = [cell for cell in content["cells"] if (cell["method"], cell["seed"]) == ("strong", 4)][:1]
    expected = dict(left["result"])
    left |= {"status": "not run", "result": None}
    carried = tmp_path / "carried.json"
    carried.write_text(json.dumps(content))
    arguments = ("study", where / "study.yaml", f"output={tmp_path / 'elsewhere'}", "--only", "small/*")
    code, _, err = command(*arguments, "--results", carried)
    assert code == 0, err
    trained = {path.parent.name for path in checkpoints(tmp_path / "elsewhere")}
    assert trained == {"teacher", "student"}
    assert len(checkpoints(tmp_path / "elsewhere")) == 2
    changing = {"seconds": None, "finished": None}
    again, before = results(carried), results(ran)
    assert again["small/strong/4"] | changing == expected | changing
    assert {name: one for name, one in again.items() if not name.endswith("4")} == {
        name: one for name, one in before.items() if not name.endswith("4")
    }


def test_other_settings_are_other_cells_and_nothing_is_lost(where, ran, command, tmp_path):
    record = tmp_path / "record.json"
    shutil.copy(ran, record)
    arguments = ("study", where / "study.yaml", "--results", record)
    code, out, _ = command(*arguments, "train.lr=0.01", "--table")
    assert code == 0
    assert "2 of 10 cells done" in out, "the teachers, which the student's rate does not change"
    code, _, err = command(*arguments, "train.lr=0.01", "--only", "small/vanilla/3")
    assert code == 0, err
    assert set(results(record)) == {"teacher/3", "teacher/4", "small/vanilla/3"}
    assert len(json.loads(record.read_text())["superseded"]) == 4
    code, out, _ = command(*arguments, "--table")
    assert "6 of 10 cells done" in out
    assert command(*arguments, "--only", "small/*", "--json")[0] == 0
    assert results(record) == results(ran)


def test_what_does_not_decide_a_result_does_not_change_its_identity(where, tmp_path):
    def identities(*arguments):
        return [cell.identity for cell in load_study(where / "study.yaml", arguments).cells]

    base = identities()
    assert len(set(base)) == len(base)
    assert identities(f"output={tmp_path}", "name=x", "train.workers=2", "train.schedule=onecycle") == base
    changed = identities("teacher.train.lr=0.5")
    taught = [cell.teacher is not None or cell.is_teacher for cell in load_study(where / "study.yaml").cells]
    assert [new != old for new, old in zip(changed, base, strict=True)] == taught
    assert not set(identities("input.size=48")) & set(base)


def test_all_that_a_student_may_be_asked_decides_it(where):
    recipe = load_recipe(where / "recipe.yaml", assignments=["student.int8={}"]).recipe
    method, asked = build_method("mld"), recipe.student
    variants = [asked, replace(asked, int8=None), replace(asked, start="teacher")]
    variants += [replace(asked, int8=replace(asked.int8, train=asked.int8.train | {"epochs": 2}))]
    found = {identity_of_student(replace(recipe, student=one), method) for one in variants}
    assert len(found) == len(variants)


def test_a_default_that_the_code_changed_makes_a_new_cell(where, ran, tmp_path):
    content = json.loads(ran.read_text())
    for cell in content["cells"]:
        if cell["method"] == "strong" and cell["result"]:
            cell["result"]["method"]["supervised"] = "asl"
        elif cell["result"]:
            cell["result"]["method"].pop("reduction")  # an option that did not exist then
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content))
    found = Store(load_study(where / "study.yaml"), record, "").read()
    assert {cell.name for cell in found.cells if cell.status == "done"} == {
        name for name in SMALL if "strong" not in name
    }


@pytest.mark.parametrize(
    ("changed", "seed", "digests"),
    [("test", 3, True), ("train", 3, True), ("test", 4, True), ("train", 4, True), ("test", 4, False)],
)
def test_data_that_changed_fails_before_it_is_trained_on(where, ran, command, tmp_path, changed, seed, digests):
    """Under another seed than that of the results too; a record from before the digests has the number of tests."""
    folder = tmp_path / "data"
    shutil.copytree(where, folder, ignore=shutil.ignore_patterns("runs"))
    lines = (folder / f"{changed}.csv").read_text().splitlines()
    (folder / f"{changed}.csv").write_text("\n".join(lines[:-1]))
    content = json.loads(ran.read_text())
    for cell in content["cells"]:
        if (cell["seed"] == 4 and seed == 4) or (cell["seed"] == 3 and cell["method"] == "vanilla" and seed == 3):
            cell |= {"status": "not run", "result": None}
        elif cell["result"] and not digests:
            del cell["result"]["training_sha256"], cell["result"]["test_sha256"]
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content))
    arguments = ("study", folder / "study.yaml", f"output={tmp_path}", "--results", record)
    code, _, err = command(*arguments, "--only", f"small/vanilla/{seed}")
    assert code == 1
    part = "test split" if changed == "test" else "training data"
    assert f"error: small/vanilla/{seed}: the {part} has other images, labels or classes" in err
    assert "the record's result of teacher/3" in err
    assert not checkpoints(tmp_path)


def test_a_folder_with_a_result_on_other_data_is_run_again(where, ran, command, monkeypatch, tmp_path):
    shutil.copytree(where / "runs" / "study", tmp_path / "study")
    (path,) = tmp_path.glob("study/small/vanilla-seed4-*/result.json")
    content = json.loads(path.read_text())
    content["result"]["test_sha256"] = "of another test split"
    path.write_text(json.dumps(content))
    order: list[str] = []
    store = Store(load_study(where / "study.yaml"), ran, "")
    monkeypatch.setattr("edgedistill.distill.study.run.run_cell", pretend(store, results(ran), {}, order))
    code, _, err = command("study", where / "study.yaml", f"output={tmp_path}", "--only", "small/*")
    assert code == 0, err
    assert order == ["small/vanilla/4"]
