"""`distil`: a mistake is one line that names the argument."""

import pytest
import torch
from jobs import tint_model
from plain_training import SMALL, Net, teach
from torch import nn

from edgedistill.distill.models.plain import as_classifier
from edgedistill.runtime.errors import ConfigError, DataError


class InDict(Net):
    """As networks of other libraries give what they find."""

    def forward(self, images):
        return {"logits": super().forward(images)}


class Squashed(Net):
    """As a network trained by `BCELoss` has it."""

    def __init__(self, squash=torch.sigmoid):
        super().__init__()
        self.squash = squash

    def forward(self, images):
        return self.squash(super().forward(images))


@pytest.mark.parametrize(
    ("squash", "said"),
    [
        (torch.sigmoid, "ends in a sigmoid"),
        (nn.Hardsigmoid(), "ends in a hard sigmoid"),
        (lambda logits: logits.softmax(1).unsqueeze(0)[0], "ends in a softmax"),
    ],
)
@pytest.mark.parametrize("whose", ["student", "teacher"])
def test_probabilities_are_no_logits(tmp_path, squash, said, whose):
    with pytest.raises(ConfigError, match=rf"the {whose} Squashed {said} and gives probabilities: training takes"):
        teach(tmp_path, **{whose: Squashed(squash)})


def test_probabilities_of_a_hidden_end_are_told(caplog):
    hidden = Squashed(lambda logits: logits.detach().sigmoid())
    as_classifier(hidden, 3, SMALL, who="teacher")
    assert "the teacher Squashed gives values from 0." in caplog.text
    assert "Are they probabilities?" in caplog.text
    caplog.clear()
    as_classifier(Squashed(lambda logits: 20 * logits.detach()), 3, SMALL)
    as_classifier(Squashed(lambda logits: logits.flatten(1)), 3, SMALL)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epoch": 3}, r"did you mean `epochs`\?$"),
        ({"student_map": "body"}, "did you mean `student_maps`"),
        ({"learning_rate": 1}, "it is `lr`"),
        ({"temperature": 3}, 'a method has it: `method={"name": "mld", "temperature": ...}`.$'),
        ({"lambda_cd": 3}, 'a method has it: `method={"name": "l2d", "lambda_cd": ...}`.$'),
        ({"augment": [nn.Identity()]}, "a list of names or mappings"),
        ({"student": "mobilenetv2"}, "a torch.nn.Module, is wanted"),
        ({"method": "rkd", "student_maps": "body", "teacher": Net()}, 'teacher_maps="layer4"'),
        ({"method": "mlt"}, "mld"),
        ({"input": 32.0}, r"`input` is 32\.0: a side in pixels, \(height, width\) or a Preprocessing"),
        ({"input": (32, 0)}, r"`input` is \(32, 0\)"),
        ({"input": True}, "`input` is True"),
        ({"teacher_input": 32}, "`teacher_input` is 32: a Preprocessing is wanted"),
        ({"classes": "abc"}, "`classes`: expected `array | null`, got `str`"),
        ({"teacher_classes": ["a", 3]}, r"`teacher_classes\[1\]`: expected `str`, got `int`"),
        ({"class_map": {"0": {"a": 1}}}, r"`class_map\[...\]`: expected `int | str | array`"),
        ({"teacher_maps": 5}, "`teacher_maps`: "),
        ({"seed": -1}, "`seed`: expected `int` >= 0"),
        ({"max_bad_share": 2.0}, "`max_bad_share`: expected `float` <= 1"),
        ({"method": None}, "`method`: "),
        ({"validation": 10}, "`validation` is 10: give data, or a share of `train`"),
        ({"method": "cpsd"}, "write a recipe, which `edgedistill distill`"),
        ({"student": Net(5)}, r"gives \(1, 5\) for one image, and the data have 3 classes"),
        ({"student": InDict()}, "InDict gives a dict for one image.* Wrap it in a module that returns them alone"),
        ({"student": Net().half()}, r"student's weights are float16 \(.*\), and are wanted in float32: call `.float"),
        ({"teacher": Net().bfloat16()}, "the teacher's weights are bfloat16"),
        ({"method": "l2d", "teacher": Net(), "teacher_maps": "body"}, r"no embeddings.*branches=\[\"ml_decoder\"\]"),
        ({"method": "ud", "teacher": tint_model()}, r"no calibration logits.*branches=\[\"calibration\"\]"),
        ({"student": nn.Linear(2, 3)}, "does not take an image of 32 x 32 px"),
        ({"student_maps": "trunk"}, "no submodule 'trunk'; its own are: body, fc"),
        ({"student_maps": "fc"}, "'fc' gives no feature map"),
        ({"method": "rkd", "teacher": Net()}, "feature maps"),
        ({"teacher": tint_model(), "classes": ("a", "b", "c", "d")}, "3 labels an image, and 4 class names"),
        ({"data": iter([])}, "no length"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path, options, said):
    with pytest.raises((ConfigError, DataError), match=said):
        teach(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mix": {"name": "mixup"}, "method": {"name": "mld", "supervised": "pal"}}, "`mix`: the loss 'pal' ranks"),
        ({"class_weights": "inverse_frequency", "method": {"name": "mld", "supervised": "pal"}}, "'pal' ranks"),
        ({"class_weights": {"3": 2.0}}, "no class '3'"),
    ],
)
def test_what_the_method_does_not_know_is_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        teach(tmp_path, **options)
