"""The papers' tables as recipes: every row is valid and stands where the paper has it; every method's recipe trains."""

import itertools
import json
import math

import msgspec
import numpy as np
import pytest
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.jobs import resolved
from edgedistill.distill.methods import METHODS
from edgedistill.distill.models.branches import BRANCHES
from edgedistill.distill.models.heads import HEADS
from edgedistill.distill.recipe.load import build_recipe, load_recipe
from edgedistill.distill.recipe.overrides import apply_assignments, parse_assignment
from edgedistill.distill.recipe.packaged import packaged_recipes, read_content
from edgedistill.distill.recipe.papers import rows as module
from edgedistill.distill.recipe.papers.published import keep_published
from edgedistill.distill.recipe.papers.rows import DATA_FOLDERS, find_paper_recipe, paper_recipes, recipe_content
from edgedistill.runtime.config import decode_tagged
from edgedistill.runtime.datasets import FORMATS
from edgedistill.runtime.errors import ConfigError

METRICS = {"mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1"}


@pytest.fixture
def data_folders(monkeypatch, tmp_path):
    for variable in DATA_FOLDERS:
        monkeypatch.setenv(variable, str(tmp_path / variable))


def test_every_packaged_recipe_is_valid(data_folders):
    mistakes = []
    for name in packaged_recipes():
        try:
            loaded = load_recipe(name)
            for part in (loaded.recipe.data.train, loaded.recipe.data.test):
                decode_tagged(part, FORMATS, tag="format", where=name, prefix="data")
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        if loaded.recipe.teacher is not None:
            model = loaded.recipe.teacher.model
            given = {HEADS[model.head].gives, *(BRANCHES[branch].gives for branch in model.branches)}
            lacking = loaded.method().needs & {branch.gives for branch in BRANCHES.values()} - given
            mistakes += [f"{name}: its teacher lacks {lacking}"] if lacking else []
    assert not mistakes, "\n".join(mistakes)


def test_no_recipe_is_there_twice_under_two_names():
    for paper in ("l2d", "mdkd", "ud", "cpsd"):
        contents = {}
        for name, recipe in paper_recipes(paper).items():
            content = {key: value for key, value in recipe_content(recipe).items() if key not in ("name", "published")}
            encoded = msgspec.json.encode(msgspec.to_builtins(content, str_keys=True), order="sorted")
            assert encoded not in contents, f"{name} is {contents[encoded]}"
            contents[encoded] = name


def test_cpsds_ten_teachers_are_asked_once_for_each_of_a_few_views():
    for name, recipe in paper_recipes("cpsd").items():
        train = recipe_content(recipe)["student"]["train"]
        assert train["views"] < train["epochs"], name


def test_figures_are_percentages_of_known_metrics():
    known = METRICS | {f"{metric}_top3" for metric in METRICS} | {"mAP_difficult"}
    for name, recipe in paper_recipes().items():
        for entry in recipe.published:
            assert set(entry.figures) | set(entry.teacher) <= known, name
            assert ("CF1" if recipe.paper in ("l2d", "mdkd") else "CF1_mean") not in {*entry.figures, *entry.teacher}
            figures = itertools.chain(entry.figures.values(), entry.ap.values(), entry.teacher.values())
            assert all(20 < figure < 100 for figure in figures), name


def test_the_papers_own_arithmetic_holds():
    """CF1 and OF1 of UD and CPSD are harmonic means of the precision and recall printed beside them."""
    checked = 0
    for paper, tolerance in (("ud", 0.011), ("cpsd", 0.16)):
        for recipe, prefix, suffix in itertools.product(paper_recipes(paper).values(), "CO", ("", "_top3")):
            for entry in recipe.published:
                found = [entry.figures.get(f"{prefix}{letter}{suffix}") for letter in ("P", "R", "F1")]
                if None not in found:
                    precision, recall, f1 = found
                    assert 2 * precision * recall / (precision + recall) == pytest.approx(f1, abs=tolerance)
                    checked += 1
    assert checked == 2 * (10 + 2 * 10) + 2 * 12


def test_mdkds_map_is_the_mean_of_its_classes():
    entries = [entry for recipe in paper_recipes("mdkd").values() for entry in recipe.published if entry.ap]
    assert len(entries) == 6
    for entry in entries:
        assert math.fsum(entry.ap.values()) / 20 == pytest.approx(entry.figures["mAP"], abs=0.006)


# Typed from the papers by hand; the data files were made from their text by a script.
@pytest.mark.parametrize(
    ("name", "table", "figures"),
    [
        ("l2d/coco_resnet101_resnet34_l2d", "L2D, Table 1", {"mAP": 72.87, "OF1": 74.45, "CF1_mean": 69.43}),
        ("l2d/coco_swin_s_swin_t_reviewkd", "L2D, Table 1", {"mAP": 79.81, "OF1": 79.18, "CF1_mean": 75.55}),
        ("l2d/coco_swin_t_mobilenetv2_ps", "L2D, Table 2", {"mAP": 72.42, "OF1": 74.14, "CF1_mean": 68.94}),
        ("l2d/coco_mobilenetv2_vanilla", "L2D, Table 2", {"mAP": 71.85, "OF1": 73.59, "CF1_mean": 68.26}),
        ("l2d/voc_resnet50_resnet18_mld", "L2D, Table 3", {"mAP": 84.48}),
        ("l2d/coco_resnet101_resnet34_l2d_no_cd", "L2D, Table 4", {"mAP": 71.79, "OF1": 73.62, "CF1_mean": 68.43}),
        (
            "mdkd/coco_wide_resnet101_cifar_wrn40_1_mdkd",
            "MDKD, Table 1",
            {"mAP": 76.88, "OF1": 77.45, "CF1_mean": 74.18},
        ),
        ("mdkd/coco_cifar_vgg13_mobilenetv2_rkd", "MDKD, Table 2", {"mAP": 72.48, "OF1": 73.48, "CF1_mean": 67.48}),
        (
            "mdkd/coco_cifar_resnet32x4_shufflenetv2_mdkd",
            "MDKD, Table 2",
            {"mAP": 74.07, "OF1": 75.13, "CF1_mean": 72.66},
        ),
        ("mdkd/voc_resnet50_resnet18_mdkd", "MDKD, Table 3", {"mAP": 87.01}),
        ("mdkd/coco_resnet101_resnet34_mdkd", "MDKD, Table 4", {"mAP": 74.15, "OF1": 75.05, "CF1_mean": 70.12}),
        (
            "mdkd/coco_resnet101_resnet34_mdkd_instance",
            "MDKD, Table 4",
            {"mAP": 73.04, "OF1": 74.02, "CF1_mean": 69.11},
        ),
        ("mdkd/coco_resnet34_resnet101_pkt", "MDKD, Table 5", {"mAP": 73.92, "OF1": 73.48, "CF1_mean": 68.15}),
        ("ud/voc_vgg19_bn_vanilla_calibrated", "UD, Table 2", {"mAP": 91.87, "mAP_difficult": 86.77}),
        ("ud/voc_resnet18_softmax", "UD, Table 5", {"mAP": 91.37}),
        ("cpsd/coco_resnet101_q2l_dgpd", "CPSD, Table 3", {"mAP": 84.3}),
        ("cpsd/nuswide_tresnet_l_cpsd", "CPSD, Table 2", {"mAP": 66.5, "CF1": 64.6, "OF1": 75.5}),
    ],
)
def test_published_figures_are_the_papers(name, table, figures):
    assert table in [entry.table for entry in find_paper_recipe(name).published if entry.figures == figures]


def test_longer_rows_and_teachers_are_the_papers():
    (entry,) = find_paper_recipe("ud/coco_resnet101_mobilenetv2_ud").published
    assert [entry.figures[key] for key in ("mAP", "CP", "CR", "OP", "OR")] == [78.12, 87.20, 68.00, 83.85, 63.38]
    assert [entry.figures[f"{key}_top3"] for key in ("CP", "CR", "CF1", "OF1")] == [91.16, 61.18, 73.22, 69.18]
    (entry,) = find_paper_recipe("l2d/coco_swin_t_resnet34_l2d").published
    assert entry.teacher == {"mAP": 79.43, "OF1": 78.77, "CF1_mean": 75.07}
    (entry,) = find_paper_recipe("l2d/voc_resnet18_vanilla").published
    assert [entry.ap[name] for name in ("bottle", "tvmonitor", "aeroplane")] == [57.18, 82.30, 97.27]
    (entry,) = find_paper_recipe("cpsd/coco_resnext50_cpsd").published[:1]
    assert list(entry.figures.values()) == [87.7, 86.9, 78.6, 82.5, 87.6, 80.9, 84.1]


def test_a_row_of_several_tables_is_one_recipe_with_the_figures_of_each():
    recipe = find_paper_recipe("mdkd/coco_resnet101_resnet34_mdkd")
    assert [(entry.table, entry.figures["mAP"]) for entry in recipe.published] == [
        ("MDKD, Table 1", 73.35),
        ("MDKD, Table 4", 74.15),
    ]
    assert recipe.mean_ap == 73.35
    assert "Table 1 prints other figures" in recipe.published[1].note


def test_hyperparameters_are_laid_over_each_other(data_folders, tmp_path):
    loaded = load_recipe("l2d/coco_resnet101_mobilenetv2_l2d")
    recipe, teacher = loaded.recipe, loaded.recipe.teacher
    assert (recipe.student.model.name, recipe.student.model.head) == ("mobilenetv2", "ml_decoder")
    assert (teacher.model.name, teacher.train.epochs, teacher.train.schedule_epochs) == ("resnet101", 30, 80)
    assert (recipe.student.train.epochs, recipe.student.train.schedule_epochs) == (80, None)
    assert recipe.data.train["annotations"] == f"{tmp_path}/COCO2014/annotations/instances_train2014.json"
    assert loaded.folder.as_posix() == "runs/l2d/coco_resnet101_mobilenetv2_l2d"
    assert load_recipe("l2d/coco_resnet101_mobilenetv2_l2d_linear").recipe.student.model.head == "linear"
    assert load_recipe("l2d/coco_mobilenetv2_vanilla").recipe.teacher is None
    assert load_recipe("ud/voc_resnet101_resnet18_ud").recipe.teacher.train.epochs == 20
    assert load_recipe("ud/coco_resnet101_resnet18_ud").recipe.teacher.train.epochs == 40
    assert load_recipe("ud/voc_resnet101_resnet18_ud").recipe.method["beta"] == 0.1
    assert load_recipe("cpsd/coco_resnet101_cpsd").tasks().settings.lr == 1e-4


def test_a_resolved_recipe_reads_back_as_it_is(data_folders, tmp_path):
    loaded = load_recipe("mdkd/voc_resnet50_resnet18_mdkd", assignments=["seed=3", "name=mine"])
    (tmp_path / "stored.yaml").write_text(resolved(loaded))
    again = load_recipe(tmp_path / "stored.yaml")
    assert again.recipe == loaded.recipe
    assert again.recipe.published[0].figures == {"mAP": 87.01}
    assert again.command("run") == f"edgedistill run {tmp_path / 'stored.yaml'}"
    assert loaded.command("run") == "edgedistill run mdkd/voc_resnet50_resnet18_mdkd seed=3 name=mine"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("output=/elsewhere", True),
        ("baseline=true", True),
        ("train.workers=2", True),
        ("method.beta=0.1", True),  # as it is
        ("data.train.root=/own", False),
        ("input.size=224", False),
        ("student.model.width=0.5", False),
        ("teacher.model.name=resnet50", False),
        ("teacher.train.lr=0.1", False),
        ("student.model.pretrained=null", False),
        ("method=kd", False),
        ("teacher=null", False),
    ],
)
def test_figures_stay_with_the_experiment_that_they_are_of(change, kept):
    before = recipe_content(find_paper_recipe("ud/voc_resnet101_mobilenetv2_ud"))
    after = keep_published(before, apply_assignments(before, [parse_assignment(change)]))
    assert after["published"] == (before["published"] if kept else [])


def test_a_recipe_read_with_other_networks_has_no_figures_and_one_with_a_given_teacher_names_it(data_folders, tmp_path):
    name = "ud/voc_resnet101_resnet18_ud"
    assert load_recipe(name).recipe.published
    assert not load_recipe(name, assignments=["train.epochs=1"]).recipe.published
    (tmp_path / "teacher.safetensors").touch()
    given = f"teacher={{checkpoint: {tmp_path}/teacher.safetensors}}"
    entries = load_recipe(name, assignments=[given]).recipe.published
    assert len(entries) > 1
    assert all(entry.note.endswith(f"The teacher here is {tmp_path}/teacher.safetensors.") for entry in entries)
    assert not load_recipe(name, assignments=[given, "train.epochs=1"]).recipe.published


def test_a_name_that_does_not_exist_brings_the_nearest(monkeypatch):
    with pytest.raises(
        ConfigError, match=r"nor a packaged recipe\. Did you mean .* or l2d/coco_resnet101_resnet34_l2d "
    ):
        load_recipe("l2d/coco_resnet101_resnet34_ld2")
    monkeypatch.delenv("NUSWIDE", raising=False)
    with pytest.raises(ConfigError, match=r"_mld: the environment variable NUSWIDE is not set; .* holds ConceptsList/"):
        load_recipe("l2d/nuswide_resnet101_resnet34_mld")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[none, resnet18, vanilla, 50.0]", "must be teacher, student, method and 2 figures"),
        ("[none, resnet18]", "must be teacher, student, method and 2 figures"),
        ("[none, resnet18, vanila, 50.0, 60.0]", "or `methods` no 'vanila'"),
        ("[none, resnet18, vanilla, 50.0, 60.0, 70.0]", "must be"),
        ("[none, resnet18, vanilla, 50.0, a note]", "must be teacher, student, method and 2 figures"),
    ],
)
def test_a_mistaken_row_is_named(odd_paper, row, message):
    with pytest.raises(ConfigError, match=message) as caught:
        paper_recipes(odd_paper(row))
    assert "Table 9, row" in str(caught.value)


@pytest.mark.parametrize("teachers", ["resnet50: [70.0]", "resnet5: [70.0, 71.0]", "resnet50: [70.0, 71.0, 72.0]"])
def test_a_mistaken_teacher_is_named(odd_paper, teachers):
    row = "[resnet50, resnet18, vanilla, 50.0, 60.0]"
    name = teachers.partition(":")[0]
    with pytest.raises(ConfigError, match=f"Table 9, teachers, {name}: must be the teacher of a row, with 2 figures"):
        paper_recipes(odd_paper(row, teachers))
    (recipe,) = paper_recipes(odd_paper(row, "resnet50: [70.0, null]")).values()
    assert recipe.published[0].teacher == {"mAP": 70.0}


@pytest.fixture
def odd_paper(tmp_path, monkeypatch):
    """Write a paper of one table and one row; returns its name."""
    numbers = itertools.count()  # files are read once and kept by name

    def write(row: str, teachers: str = "") -> str:
        file = tmp_path / f"{tmp_path.name}{next(numbers)}.yaml"
        file.write_text(
            "title: Odd\nrecipe: {}\ndatasets: {voc: {}}\nmethods: {vanilla: {method: vanilla}}\n"
            "tables: [{table: Table 9, dataset: voc, columns: [mAP, OF1], "
            f"teachers: {{{teachers}}}, rows: [{row}]}}]"
        )
        monkeypatch.setattr(module, "_files", lambda: {file.stem: file})
        return file.stem

    return write


TERMS = {
    "vanilla": {"bce"},
    "kd": {"kd"},
    "mse": {"bce", "mse"},
    "ps": {"bce", "ps"},
    "mld": {"bce", "mld"},
    "rkd": {"bce", "rkd_distance", "rkd_angle"},
    "pkt": {"bce", "pkt"},
    "reviewkd": {"bce", "review"},
    "l2d": {"bce", "mld", "cd", "id"},
    "mdkd": {"bce", "mld", "bd2", "bd3", "bd4", "id2", "id3", "id4"},
    "mdkd_only_3": {"bce", "mld", "bd3", "id3"},
    "ud": {"kd", "calibration_kd", "attention"},
    "cpsd": {"asl", "kd_co", "kd_dis"},
}


def first_recipes():
    """A recipe of each method (MDKD's, which has no decoder, where there is one), and one with a weight per order."""
    rows = [*paper_recipes("mdkd").values(), *paper_recipes().values()]
    found = [next(row for row in rows if row.kind == kind) for kind in METHODS.names()]
    return [*found, find_paper_recipe("mdkd/coco_resnet101_resnet34_mdkd_only_3")]


@pytest.mark.parametrize("row", first_recipes(), ids=lambda row: row.method)
def test_one_recipe_of_every_method_trains(row, cpsd_recipe, tmp_path, data_folders, one_thread):
    """Two steps of the packaged recipe on tiny images and networks; all else is as it stands in the paper's file."""
    content, where, _ = read_content(row.name)
    folder = cpsd_recipe.parent
    content["output"] = str(tmp_path)
    content["data"] = {
        "train": {"format": "csv", "path": str(folder / "train.csv")},
        "test": {"format": "csv", "path": str(folder / "test.csv")},
        "validation": 0.5,
    }
    content["input"]["size"] = 32
    for role, network in (("student", {"name": "timm/test_efficientnet"}), ("teacher", {"name": "timm/test_resnet"})):
        if role in content:
            content[role]["model"] |= {**network, "pretrained": None}
            content[role]["train"] |= {"epochs": 1, "batch_size": 16, "workers": 0}
    if "teacher" in content:
        content["teacher"]["accept"] = True
    if row.kind == "cpsd":
        content["method"]["k"] = 2
        content["tasks"]["accept"] = True
        content["tasks"]["train"]["epochs"] = 1
    experiment = Experiment(build_recipe(content, where, tmp_path), Console(quiet=True))
    student = experiment.student(experiment.teacher())
    record = json.loads((experiment.folder / "student" / "metrics.jsonl").read_text())
    assert set(record["terms"]) == TERMS[row.method]
    assert record["skipped_steps"] == 0
    assert all(math.isfinite(term) for term in record["terms"].values())
    assert np.isfinite(experiment.test(student).logits).all()
