"""A plain module, plain data and one short call of `distil`, for the tests of it."""

import torch
from jobs import tint_dataset, tint_teacher
from rich.console import Console
from torch import nn

from edgedistill.distill import distil
from edgedistill.runtime.preprocess import Preprocessing

QUIET = Console(quiet=True)
SMALL = Preprocessing(size=(32, 32))


class Pairs(torch.utils.data.Dataset):
    """(image, labels) of the tints, in a form that a test chooses."""

    def __init__(self, count=48, seed=0, form=lambda pixels: pixels):
        self.tints, self.form = tint_dataset(count, seed), form

    def __len__(self):
        return len(self.tints)

    def __getitem__(self, index):
        return self.form(self.tints.images[index]), self.tints.labels[index]


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, classes)

    def forward(self, images):
        return self.fc(self.body(images).mean((2, 3)))


def teach(folder, student=None, teacher=None, data=None, **options):
    options = {
        "method": "mld",
        "epochs": 1,
        "batch_size": 16,
        "input": 32,
        "console": QUIET,
        "accept_teacher": True,
        **options,
    }
    torch.manual_seed(0)
    parts = data or Pairs(), options.pop("validation", Pairs(24, 1))
    return distil(student or Net(), teacher or tint_teacher(), *parts, folder=folder, **options)
