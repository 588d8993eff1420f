"""The study file and its tables: mistakes are one line, and a table says what was not run."""

import io
import json
from pathlib import Path

import msgspec
import pytest
import yaml
from rich.console import Console

from edgedistill.cli.study_table import study_markdown, study_tables
from edgedistill.distill.study import Store, load_study
from edgedistill.distill.study.progress import remaining_seconds
from edgedistill.distill.study.record import CellRecord, Result, StudyRecord
from edgedistill.distill.study.summary import summarise
from edgedistill.runtime.errors import ConfigError

PACKAGED = Path(__file__).parents[2] / "benchmarks" / "studies"
BASE = {"recipe": "demo", "students": {"small": None}, "methods": {"vanilla": None, "mld": None}, "seeds": [1, 2]}


def load(tmp_path, content, arguments=()):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_study(path, arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": [1]}, "unknown key `seed`. Did you mean `seeds`?"),
        ({"seeds": []}, "`seeds`: "),
        ({"seeds": [1, 2, 1]}, "`seeds`: 1 appears twice"),
        ({"recipe": "demos"}, "demos: no such recipe file"),
        ({"baseline": "bce"}, "`baseline`: 'bce' is none of the methods (vanilla, mld)"),
        ({"methods": {"mld2": None}}, "`methods.mld2.method.name`: unknown method 'mld2': did you mean 'mld'?"),
        ({"methods": {"mld": {"method": {"lambda": 1}}}}, "unknown key `methods.mld.method.lambda`."),
        (
            {"methods": {"mld": {"lambda_mld": 3, "set": {}}}},
            "unknown key `methods.mld.lambda_mld`. Allowed here: method, of, set. Hyper-parameters belong below "
            "`method`: `method: {lambda_mld: 3}`.",
        ),
        ({"methods": {"mld": {"methd": {"lambda_mld": 3}}}}, "unknown key `methods.mld.methd`. Did you mean `method`?"),
        ({"methods": {"mld": {"method": 3}}}, "`methods.mld.method`: expected `object`, got `int`."),
        ({"methods": {"a/b": {"method": {"name": "mld"}}}}, "`methods`: 'a/b' names folders"),
        ({"methods": {"mld": {"set": {"data.validation": 0.2}}}}, "`methods.mld.set.data.validation`: all cells share"),
        ({"methods": {"mld": {"set": {"tasks.train.epochs": 2}}}}, "(small, mld): `tasks` is for methods that train"),
        (
            {"students": {"small": {"teacher.train.epochs": 2}}},
            "`students.small.teacher.train.epochs`: all cells share",
        ),
        ({"students": {"small": {"student.model.widht": 2}}}, "(small, vanilla): unknown key `student.model.widht`."),
        ({"students": {"teacher": None}}, "`students.teacher`: that is what the shared teacher is called"),
        ({"set": {"seed": 1}}, "`set.seed`: a study has `seeds` for that"),
        ({"set": {"method.lambda_mld": 1}}, "`set.method.lambda_mld`: a study has `methods` for that"),
        ({"set": {"teacher": None}}, "(small, mld): `method` learns from a teacher"),
        ({"set": {"a..b": None}}, "`set`: `a..b=`: `a..b` is no key"),
        ({"methods": {"vanilla": None, "mld": {"of": "mld3"}}}, "`methods.mld.of`: 'mld3' is no method of this study"),
        ({"other_tests": {"a b": {"format": "csv"}}}, "`other_tests`: 'a b' names folders"),
        ({"other_tests": {"a": {"path": "${NOT_SET_HERE}"}}}, "`other_tests`: the environment variable NOT_SET_HERE"),
        ({"score_test": "never"}, "`score_test`: "),
        ({"students": {8: None}}, "study.yaml: `students`: a key is not text; put it in quotes."),
        (
            {"students": {"small": {"train.epochs.x": 5}}},
            "study.yaml (small, vanilla): `train.epochs.x=`: `student.train.epochs` is ",
        ),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path, change, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, BASE | change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_in_place_of_a_study_is_told(tmp_path):
    (tmp_path / "r.yaml").write_text("data: {train: a.csv}\nstudent: {model: mobilenetv2}\n")
    with pytest.raises(ConfigError, match=r"r.yaml: is a recipe. A study file names one \(`recipe: r.yaml`\)"):
        load_study(tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="unknown key `data`"):
        load(tmp_path, BASE | {"data": {}})


def test_changes_from_the_command_line_hold_over_everything_and_are_checked(tmp_path):
    content = BASE | {"students": {"small": {"student.train.epochs": 9}}, "set": {"train.epochs": 8}}
    assert {cell.loaded.recipe.student.train.epochs for cell in load(tmp_path, content).cells if cell.method} == {9}
    study = load(tmp_path, content, ["train.epochs=3", "name=trial", "output=there"])
    assert {cell.loaded.recipe.student.train.epochs for cell in study.cells if cell.method} == {3}
    assert study.folder == Path("there/trial")
    with pytest.raises(ConfigError, match=r"study.yaml with train.epochs=x from the command line: `student.train.epoc"):
        load(tmp_path, content, ["train.epochs=x"])
    with pytest.raises(ConfigError, match="command line: `method.lambda_mld`: a study has `methods` for that"):
        load(tmp_path, content, ["method.lambda_mld=2"])


def test_one_teacher_has_what_any_method_needs(tmp_path):
    content = BASE | {"methods": {"vanilla": None, "l2d": None, "cpsd": {"set": {"tasks.train.epochs": 2}}}}
    cells = {cell.name: cell for cell in load(tmp_path, content).cells}
    assert cells["teacher/1"].loaded.recipe.teacher.model.branches == ["ml_decoder"]
    assert cells["small/l2d/1"].teacher is cells["teacher/1"]
    taught = cells["small/l2d/1"].runnable().recipe.teacher
    assert Path(taught.checkpoint) == cells["teacher/1"].checkpoint.absolute()
    assert cells["small/vanilla/1"].loaded.recipe.teacher is None
    assert cells["small/cpsd/1"].loaded.recipe.teacher is None
    assert cells["small/cpsd/1"].loaded.tasks().settings.epochs == 2
    assert not any(cell.is_teacher for cell in load(tmp_path, BASE | {"methods": {"vanilla": None}}).cells)


def test_photographs_without_labels_are_for_students_of_a_teacher(tmp_path):
    given = {"data.unlabelled": {"format": "folder", "path": "photos"}, "data.unknown": "distil"}
    cells = {cell.name: cell.loaded.recipe.data for cell in load(tmp_path, BASE | {"set": given}).cells}
    assert cells["small/mld/1"].unlabelled == given["data.unlabelled"]
    assert cells["small/vanilla/1"].unlabelled is cells["teacher/1"].unlabelled is None
    assert cells["small/vanilla/1"].unknown is None


def test_a_given_checkpoint_is_the_teacher_of_every_seed(tmp_path):
    (tmp_path / "teacher.safetensors").touch()
    content = BASE | {"set": {"teacher": {"checkpoint": str(tmp_path / "teacher.safetensors")}}}
    cells = load(tmp_path, content).cells
    assert [cell.name for cell in cells] == ["small/vanilla/1", "small/mld/1", "small/vanilla/2", "small/mld/2"]
    assert all(cell.teacher is None for cell in cells)


def test_a_network_with_classes_of_its_own_is_opened_by_every_student(tmp_path):
    """Its checkpoint would have other classes than the data."""
    (tmp_path / "tags.pth").touch()
    teacher = {"model": {"name": "timm/test_resnet", "pretrained": str(tmp_path / "tags.pth")}, "classes": ["8", "9"]}
    cells = load(tmp_path, BASE | {"set": {"teacher": teacher}}).cells
    assert not any(cell.is_teacher for cell in cells)
    assert all(cell.runnable().recipe.teacher.classes == ["8", "9"] for cell in cells if cell.method == "mld")


def test_the_best_setting_of_each_method_is_chosen_by_validation_alone(tmp_path, command):
    """By hand: `hot` has the best validation mAP (61.5), `cold` the best test mAP."""
    methods = {
        "vanilla": None,
        "mld": None,
        "hot": {"of": "mld", "method": {"name": "mld", "temperature": 3}, "set": {"student.train.epochs": 9}},
        "cold": {"of": "mld", "method": {"name": "mld", "temperature": 0.5}},
    }
    path, results = tmp_path / "study.yaml", tmp_path / "record.json"
    plan = load(tmp_path, BASE | {"methods": methods})
    validation = {"vanilla": (60, 60), "mld": (60, 62), "hot": (62, 61), "cold": (61, 61)}
    cells = []
    for cell in plan.cells:
        value = 80.0 if cell.is_teacher else float(validation[cell.method][cell.seed - 1])
        made = entry(cell.student, cell.method, cell.seed, value, name=cell.method_values["name"])
        tested = msgspec.structs.replace(made.result, test_mAP=99.0 if cell.method == "cold" else 1.0)
        cells.append(msgspec.structs.replace(made, identity=cell.identity, result=tested))
    full = StudyRecord(name="s", command="", baseline=None, rows=(), cells=tuple(cells), machines={})
    results.write_bytes(msgspec.json.encode(full))
    code, out, err = command("study", path, "--choose", "--results", results)
    assert (code, err) == (0, "")
    assert out == (
        f"# small: chosen by the mean validation mAP over the seeds 1, 2 of {path}\n"
        "methods:\n"
        "  # vanilla: 60.00, of 1 settings\n"
        "  vanilla_best: {method: {name: vanilla}}\n"
        "  # hot: 61.50, of 3 settings, 0.50 above the next\n"
        "  mld_best: {method: {name: mld, temperature: 3}, set: {student.train.epochs: 9}}\n"
    )
    chosen = yaml.safe_load(out)["methods"]
    again = load(tmp_path, BASE | {"methods": {"vanilla": None, **chosen}, "seeds": [7]})
    assert again.cells[-1].method_values["temperature"] == 3
    assert again.cells[-1].loaded.recipe.student.train.epochs == 9
    load(tmp_path, BASE | {"methods": methods})
    code, out, _ = command("study", path, "--choose", "--results", results, "--json")
    assert [one["method"] for one in json.loads(out)] == ["vanilla", "hot"]
    results.write_bytes(msgspec.json.encode(msgspec.structs.replace(full, cells=full.cells[:-1])))
    code, out, err = command("study", path, "--choose", "--results", results)
    assert (code, out) == (2, "")
    assert "--choose: 1 cells of" in err
    assert "(small/cold/2, ...)" in err


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_repositorys_studies_are_valid(path, named_photographs, monkeypatch):
    monkeypatch.setattr("edgedistill.distill.recipe.check.Path.is_file", lambda path: True)  # teachers not trained here
    study = load_study(path)
    assert len({cell.name for cell in study.cells}) == len({cell.identity for cell in study.cells}) == len(study.cells)


def test_cells_that_are_one_training_share_its_result_and_keep_their_own(tmp_path):
    """A setting may be a method's own: each rewriting of the record would else supersede its result once more."""
    methods = {"vanilla": None, "mld": None, "mld_best": {"method": {"name": "mld"}}}
    plan = load(tmp_path, BASE | {"methods": methods, "seeds": [1]})
    cells = {cell.name: cell for cell in plan.cells}
    assert cells["small/mld/1"].identity == cells["small/mld_best/1"].identity
    made = msgspec.structs.replace(entry("small", "mld_best", 1, 60.0), identity=cells["small/mld/1"].identity)
    store = Store(plan, tmp_path / "record.json", "")
    full = StudyRecord(name=plan.name, command="", baseline=None, rows=(), cells=(made,), machines={})
    store.path.write_bytes(msgspec.json.encode(full))
    for _ in range(3):
        found = store.read()
        assert [cell.name for cell in found.cells if cell.result == made.result] == ["small/mld/1", "small/mld_best/1"]
        assert found.superseded == ()
        store.path.write_bytes(msgspec.json.encode(found))
    scored = msgspec.structs.replace(made.result, test_mAP=70.0)
    later = [one if one.method != "mld_best" else msgspec.structs.replace(one, result=scored) for one in found.cells]
    store.path.write_bytes(msgspec.json.encode(msgspec.structs.replace(found, cells=tuple(later))))
    assert {cell.method: cell.result.test_mAP for cell in store.read().cells if cell.result} == {
        "mld": 60.0,
        "mld_best": 70.0,
    }


def test_another_studys_record_is_not_taken_over(tmp_path, command, record):
    path, results = tmp_path / "study.yaml", tmp_path / "digits.json"
    path.write_text(yaml.safe_dump(BASE))
    before = msgspec.json.encode(record)
    results.write_bytes(before)
    for option in ((), ("--table",), ("--test",), ("--choose",)):
        code, out, err = command("study", path, f"output={tmp_path}", "--results", results, *option)
        assert (code, out) == (2, "")
        assert err == (
            f"error: {results}: is the record of the study 'digits', which has none of the cells of {path}. Name "
            "another (`--results`).\n"
        )
    assert results.read_bytes() == before


def entry(student, method, seed, value=None, reason="", *, name="mld", taught_by=None):
    result = None
    if value is not None:
        result = Result(
            test_mAP=value, validation_mAP=value, epoch=1, test_images=9, method={"name": name}, weights_sha256="",
            teacher_sha256=taught_by, data_sha256="", seconds=100 if method == "slow" else 10, threads=1, device="cpu",
            machine="m", edgedistill="0", commit=None, finished="",
        )  # fmt: skip
    status = "failed" if reason else "not run" if value is None else "done"
    return CellRecord(
        student=student, method=method, seed=seed, identity=f"{student}{method}{seed}", status=status, reason=reason,
        result=result,
    )  # fmt: skip


@pytest.fixture
def record():
    values = {"vanilla": (60.0, 61.0, 62.0), "mld": (62.0, 62.0, 66.0), "slow": (70.0, None, 71.0)}
    cells = [entry("teacher", "", seed, 80.0) for seed in (1, 2, 3)]
    for method, reached in values.items():
        cells += [
            entry("small", method, seed, value, reason="" if value else "out of [memory]")
            for seed, value in zip((1, 2, 3), reached, strict=True)
        ]
    cells += [entry("small", "l2d", 1), entry("large", "vanilla", 1)]
    return StudyRecord(
        name="digits", command="edgedistill study s.yaml", baseline="vanilla", rows=summarise(cells, "vanilla"),
        cells=tuple(cells), machines={}, test="digit_scenes test",
    )  # fmt: skip


def test_the_table_by_hand(record):
    console = Console(width=100, file=io.StringIO())
    study_tables(record, Path("runs/digits.study.json"), console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("small"))
    table = [" ".join(line.split()) for line in lines[start : start + 6]]
    assert table == [
        "small seeds test mAP gain over vanilla",
        "vanilla 3/3 61.00 ± 1.00",
        # differences 2, 1, 4: mean 2.333, s 1.5275, half t(0.975, 2) s / sqrt(3) = 3.795
        "mld 3/3 63.33 ± 2.31 +2.33 [-1.46, +6.13]",
        # differences 10, 9: mean 9.5, s 0.7071, half 12.706 s / sqrt(2) = 6.353
        "slow 2/3 70.50 ± 0.71 +9.50 [+3.15, +15.85], 1 failed",
        "l2d 0/1 not run",
        "(the teacher) 3/3 80.00 ± 0.00",
    ]
    assert max(map(len, lines[start : start + 6])) <= 100
    assert "not run  large: none of its cells" in lines
    assert "failed   small/slow/2: out of [memory]" in lines
    assert lines[-1] == "11 of 14 cells done, 1 failed, 2 not run  runs/digits.study.json"


def test_markdown_marks_the_best_of_those_with_every_seed(record):
    text = study_markdown(record)
    assert "| small | seeds | test mAP | gain over vanilla |\n|---|---|---|---|\n| vanilla | 3/3 |" in text
    assert "| **mld** | **3/3** | **63.33 ± 2.31** | **+2.33 [-1.46, +6.13]** |" in text, "`slow` lacks a seed"
    assert "* not run: large, none of its cells\n* failed: small/slow/2: out of [memory]" in text
    assert text.endswith("11 of 14 cells done, 1 failed, 2 not run. `edgedistill study s.yaml`\n")


def test_what_is_scored_elsewhere_has_columns_of_its_own(record):
    def reached(cell, **changes):
        return msgspec.structs.replace(cell, result=cell.result and msgspec.structs.replace(cell.result, **changes))

    def text(cells):
        rows = summarise(cells, "vanilla")
        return study_markdown(msgspec.structs.replace(record, cells=tuple(cells), rows=rows))

    others = {"vanilla": {"photos": 50.0}, "mld": {"photos": 51.0}}
    found = text([reached(cell, other_tests=others.get(cell.method, {})) for cell in record.cells])
    assert "| small | seeds | test mAP | gain over vanilla | photos mAP | gain over vanilla |" in found
    assert "| **+2.33 [-1.46, +6.13]** | **51.00 ± 0.00** | **+1.00 [+1.00, +1.00]** |" in found
    assert "| slow | 2/3 | 70.50 ± 0.71 | +9.50 [+3.15, +15.85], 1 failed | not scored |  |" in found
    assert "| l2d | 0/1 | not run |  |  |  |" in found
    first = {(cell.method, cell.seed): others[cell.method] for cell in record.cells if cell.method in others}
    first = {key: value for key, value in first.items() if key[1] == 1}
    some = text([reached(cell, other_tests=first.get((cell.method, cell.seed), {})) for cell in record.cells])
    assert "| **51.00 (1 of 3 seeds)** | **+1.00 (1 of 3 seeds)** |" in some
    unread = text([reached(cell, test_mAP=None, test_scored=False) for cell in record.cells])
    assert unread.startswith("validation mAP, the test split being unread, mean")
    assert (
        "| small | seeds | validation mAP | gain over vanilla |\n|---|---|---|---|\n| vanilla | 3/3 | 61.00" in unread
    )
    assert "**+2.33 [-1.46, +6.13]**" in unread


def test_a_seed_with_two_trainings_of_its_teacher_is_told(record):
    cells = [entry("small", "mld", seed, 1.0, taught_by=f"{seed}a") for seed in (1, 2)]
    given = study_markdown(msgspec.structs.replace(record, cells=tuple(cells)))
    assert "* its students had 2 teachers: what `teacher` names has changed meanwhile" in given
    cells += [entry("teacher", "", seed, 2.0) for seed in (1, 2)]
    cells += [entry("small", "cpsd", seed, 1.0, taught_by="its own", name="cpsd") for seed in (1, 2)]
    assert "teachers" not in study_markdown(msgspec.structs.replace(record, cells=tuple(cells)))
    cells.append(entry("small", "mse", 2, 1.0, taught_by="2b", name="mse"))
    text = study_markdown(msgspec.structs.replace(record, cells=tuple(cells)))
    assert "* seed 2: its students had 2 teachers, equal trainings with other last bits" in text


def test_the_record_reads_back_as_it_was(record):
    assert msgspec.json.decode(msgspec.json.encode(record), type=StudyRecord) == record
    assert json.loads(msgspec.json.encode(record))["rows"][2]["gain"]["differences"] == [2.0, 1.0, 4.0]


def test_the_time_left_is_that_of_cells_like_those(record, tmp_path):
    slow = BASE | {"methods": {"vanilla": None, "slow": {"method": {"name": "mld"}}}, "seeds": [1]}
    cells = load(tmp_path, slow).cells
    assert remaining_seconds(cells, record) == 10 + 10 + 100
    assert remaining_seconds(cells, record, jobs=2) == 60
    assert remaining_seconds(cells, msgspec.structs.replace(record, cells=())) is None


@pytest.mark.parametrize("option", ["--table", "--markdown"])
def test_a_record_that_is_not_there_is_told_and_one_that_was_named_is_an_error(tmp_path, command, option):
    path, named = tmp_path / "study.yaml", tmp_path / "mistyped.json"
    path.write_text(yaml.safe_dump(BASE))
    code, out, err = command("study", path, f"output={tmp_path}", option)
    assert code == 0
    assert err.startswith(f"no record at {tmp_path / 'study.study.json'} yet: ")
    assert "0 of 6 cells done, 0 failed, 6 not run" in out
    code, out, err = command("study", path, option, "--results", named)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: no record at {named} yet: ")
    named.write_bytes(
        msgspec.json.encode(StudyRecord(name="", command="", baseline=None, rows=(), cells=(), machines={}))
    )
    code, out, err = command("study", path, option, "--results", named)
    assert (code, err) == (0, "")
