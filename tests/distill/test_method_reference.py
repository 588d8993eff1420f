"""docs/methods.md and `edgedistill list methods` say what the code does."""

from pathlib import Path
from typing import ClassVar

import pytest

from edgedistill.distill.methods import METHODS, Method
from edgedistill.distill.methods.reference import loss_terms, markdown, references

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="an installed package has no docs")
def test_the_page_is_what_the_methods_say():
    assert PAGE.read_text() == markdown(), "run: edgedistill list methods --markdown > docs/methods.md"


def test_every_method_says_its_terms_needs_and_hyper_parameters():
    found = {entry.name: entry for entry in references()}
    assert list(found) == METHODS.names()
    assert found["rkd"].terms == ("bce", "rkd_distance", "rkd_angle")
    assert found["rkd"].relations == ("rkd_distance", "rkd_angle")
    assert found["cpsd"].terms == ("asl", "kd_co", "kd_dis")
    assert found["vanilla"].needs == ()
    assert found["l2d"].needs == ("teacher", "embeddings")
    assert found["l2d"].hyper_parameters["lambda_cd"] == 100.0
    for entry in found.values():
        assert entry.summary
        assert entry.equations
        assert all(entry.meanings[name] for name in entry.hyper_parameters)


def test_terms_are_what_a_call_returns():
    class Doubled(Method):
        """Twice the supervised loss.

        Attributes:
            weight: of what is added.
        """

        needs_teacher: ClassVar[bool] = False
        weight: float = 2.0

        def __call__(self, student, teacher, targets, context):
            terms = self.supervised_terms(student, targets)
            return terms | {"more": terms["bce"].times(self.weight)}

    assert list(loss_terms(Doubled())) == ["bce", "more"]
