"""What the agent on a device says of what its command left."""

import msgspec
import pytest

from edgedistill.remote.agent import Found, _found
from edgedistill.remote.sent import Request
from edgedistill.runtime.bundle import results_folder
from edgedistill.runtime.record import Record


class Report(Record):
    images: int = 1


@pytest.mark.parametrize("source", ["bundle", "model.onnx"])
def test_a_file_that_was_given_is_not_what_the_command_kept(tmp_path, source):
    (tmp_path / "bundle").mkdir()
    request = Request(command="check", source=source, files=(), called={})
    given = tmp_path / "given" / "against" / "scores.samples.npz"
    given.parent.mkdir(parents=True)
    given.write_bytes(b"given")
    assert msgspec.json.decode(_found(request, Report(), tmp_path), type=Found).samples == b""
    kept = results_folder(tmp_path / source) / "a-device" / "run.samples.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    assert msgspec.json.decode(_found(request, Report(), tmp_path), type=Found).samples == b"kept"
