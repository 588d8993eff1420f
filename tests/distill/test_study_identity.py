"""When a study's cell counts as the same."""

from edgedistill.distill.recipe.load import load_recipe
from edgedistill.distill.study.identity import identity_of_student, identity_of_teacher


def identities(*changes):
    loaded = load_recipe("demo", assignments=changes)
    return identity_of_teacher(loaded.recipe), identity_of_student(loaded.recipe, loaded.method())


def test_what_decides_no_weights_makes_no_other_cell():
    teacher, student = identities()
    assert identities("teacher.accept=true", "train.loggers=[csv]", "name=other") == (teacher, student)
    assert identities("teacher.cache=false")[0] == teacher
    assert identities("teacher.input.size=48", "method=mld")[0] != teacher
    assert identities("train.swa={start: 0.5}")[1] != student
