"""The toy backend ships what `toy.linear` makes."""

import shutil

from edgedistill.export.builders.base import BUILDERS, Builder, Built
from edgedistill.export.conversions.base import Ingredients
from edgedistill.runtime.targets import Target


@BUILDERS.register("toy")
class ToyBuilder(Builder):
    precisions = {"half_weights": "toy.linear"}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        source = ingredients.get(self.conversion(target))
        path = ingredients.root / "toy" / f"{target.name}.npz"
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(source.path, path)
        return Built((path,), "toy-npz", source.details)
