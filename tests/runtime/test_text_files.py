"""Whatever path is handed in, reading it ends: in its content or in one line that names it."""

import os
from pathlib import Path

import pytest

from edgedistill.runtime.config import read_yaml
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.errors import ConfigError, DataError, EdgedistillError
from edgedistill.runtime.text_files import read_bytes, read_text


def message_of(function, *arguments, error=DataError):
    with pytest.raises(error) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    message.encode()  # nothing in it that a terminal cannot print
    return message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are made on POSIX systems")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    for name in ("a.csv", "a.json", "a.yaml"):
        os.mkfifo(tmp_path / name)
        message = message_of(open_dataset, tmp_path / name, error=EdgedistillError)
        assert message.endswith(f"{name}: cannot be read (not a regular file).")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="/dev/zero is of POSIX systems")
def test_a_device_that_never_ends_is_refused():
    assert message_of(read_bytes, Path("/dev/zero")) == "/dev/zero: cannot be read (not a regular file)."
    message_of(open_dataset, "/dev/zero")
    message_of(open_dataset, {"format": "csv", "path": "/dev/zero"})


@pytest.mark.parametrize("name", ["dir.csv", "dir.json", "dir.yaml"])
def test_a_folder_is_no_file(tmp_path, name):
    (tmp_path / name).mkdir()
    assert "a folder, not a file" in message_of(open_dataset, tmp_path / name, error=EdgedistillError)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\0b", "embedded null byte"),
        ("y" * 5000, "File name too long"),
        ("\ud800", "surrogates not allowed"),
        ("\udcff", "no such file"),
        ("a\nb\x1b[2J", "no such file"),
        ("file/x", "Not a directory"),
    ],
)
def test_names_that_no_file_can_have(tmp_path, name, expected):
    (tmp_path / "file").touch()
    path = tmp_path / name
    assert expected in message_of(read_bytes, path)
    assert expected in message_of(read_yaml, path, error=ConfigError)
    for spec in (
        name,
        f"{name}.csv",
        {"format": "csv", "path": name},
        {"format": "coco", "annotations": name, "images": "."},
        {"format": "voc", "root": name, "split": "val"},
        {"format": "nuswide", "root": name, "split": "test"},
    ):
        message_of(open_dataset, spec, tmp_path)


def test_a_file_that_one_may_not_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.csv").write_text("path,labels\n")
    monkeypatch.setattr(os, "open", refuse)  # root, whom containers run as, may read everything
    assert message_of(open_dataset, tmp_path / "a.csv").endswith("a.csv: cannot be read (Permission denied).")


def test_the_home_of_nobody_is_a_folder_that_is_not_there():
    assert "~nobody-of-that-name" in message_of(open_dataset, "~nobody-of-that-name/x.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_text_in_every_encoding_that_says_which_it_is(tmp_path, encoding, ending):
    (tmp_path / "a.txt").write_bytes(f"vélo{ending}猫".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "vélo\n猫"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("vélo".encode("cp1252"), "is not UTF-8 text (byte 1). Save it as UTF-8."),
        ("cat".encode("utf-16-le"), "is not text: it holds NUL characters (character 1). Save it as UTF-8."),
        (b"\xff\xfea", "is not UTF-16 text (byte 2). Save it as UTF-8."),
    ],
)
def test_other_bytes_are_refused_by_name(tmp_path, content, expected):
    (tmp_path / "a.txt").write_bytes(content)
    assert message_of(read_text, tmp_path / "a.txt") == f"{tmp_path / 'a.txt'}: {expected}"


def test_a_message_is_never_longer_than_a_person_reads():
    error = DataError(f"{'x' * 100_000}: no such image. Give another.")
    assert len(str(error)) < 1600
    assert str(error).endswith(": no such image. Give another.")
    assert "\n" not in str(DataError("a\nb"))
