"""`serve` as a user runs it: one real process, killed gracefully in the middle of work."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="module")
def server(tiny_bundle):
    """A running server: its process, and its port."""
    with serving(tiny_bundle, "--batch-window", "300", "--max-batch", "4", "--body-seconds", "0.5") as running:
        yield running


@contextmanager
def serving(bundle, *options):
    command = [sys.executable, "-m", "edgedistill", "serve", str(bundle), "--port", "0", "-a", "ort-fp32", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        found = re.search(r"ort-fp32 at http://127\.0\.0\.1:(\d+)/predict; Ctrl-C ends it\.", line)
        assert found, line + process.stderr.read()
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()


def post(port: int, body: bytes) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/predict", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_client_that_sends_no_end_is_told_so_and_left(server):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=20) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        assert b"408" in slow.recv(100).split(b"\r\n")[0]


def test_a_client_that_leaves_costs_nothing(server, tiny_bundle):
    with socket.create_connection(("127.0.0.1", server[1]), timeout=20) as leaving:
        leaving.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert post(server[1], (tiny_bundle / "selftest" / "red.jpg").read_bytes())[0] == 200


def test_a_taken_port_is_one_line(server, tiny_bundle, command):
    code, out, err = command("serve", tiny_bundle, "--port", server[1])
    assert (code, out) == (2, "")
    assert err.startswith(f"error: 127.0.0.1:{server[1]}: cannot be listened on (Address already in use)")


def test_what_is_under_way_when_it_is_told_to_stop_is_answered(server, tiny_bundle):
    """The last test of the module: it ends the server."""
    process, port = server
    photo, answers = (tiny_bundle / "selftest" / "red.jpg").read_bytes(), []
    clients = [threading.Thread(target=lambda: answers.append(post(port, photo))) for _ in range(3)]
    for client in clients:
        client.start()
    time.sleep(0.15)  # they wait for others of their batch
    process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join()
    assert [status for status, _ in answers] == [200] * 3
    assert all(said["labels"].keys() == {"red"} for _, said in answers)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert err == "stopped; what was under way is answered.\n"


def test_what_takes_longer_than_the_time_to_stop_is_cut_off_and_told(tiny_bundle):
    with (
        serving(tiny_bundle, "--stop-seconds", "1") as (process, port),
        socket.create_connection(("127.0.0.1", port), timeout=20) as slow,
    ):
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        post(port, b"x")  # the server has read the other's beginning too
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.endswith("stopped; 1 images under way had no answer within 1 s.\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--address", "256.1.1.1"], "256.1.1.1: no address of this machine"),
        (["--address", "192.0.2.1"], "cannot be listened on"),
        (["--address", "a..b"], "a..b: no address of this machine"),
        (["--max-batch", "5"], "a batch of 5: the artifact takes 1 to 4 images"),
        (["--batch-window", "-1"], "a batching window of -1 ms"),
    ],
)
def test_a_mistake_is_one_line(tiny_bundle, command, options, says):
    code, out, err = command("serve", tiny_bundle, "--port", 0, "-a", "ort-fp32", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_without_fastapi_the_extra_is_named(tiny_bundle, command, monkeypatch):
    monkeypatch.setattr("edgedistill.runtime.serving.running.find_spec", lambda name: None)
    code, _, err = command("serve", tiny_bundle)
    assert code == 3
    assert 'needs fastapi, uvicorn, prometheus_client, not installed here: pip install "edgedistill[serve]"' in err
