"""What was not used for a month, or was left by an interrupted command, does not stay on a device."""

import os
import time

from edgedistill.remote.pruning import prune

DAY_S = 86_400


def test_only_what_is_old_is_removed(tmp_path):
    ages = {
        "files/ab/old": 31, "files/ab/new": 29, "environments/old/bin": 31, "environments/new/bin": 1,
        "environments/.x.tmp/bin": 2, "runs/left/bundle": 2, "runs/running/bundle": 0, "wheels/1/old.whl": 31,
    }  # fmt: skip
    for name in ages:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for name, days in ages.items():
        path = tmp_path / name
        whole = path.parent if name.startswith(("environments", "runs")) else path
        then = time.time() - days * DAY_S
        os.utime(whole, (then, then))
    prune(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"files/ab/new", "environments/new/bin", "runs/running/bundle"}
