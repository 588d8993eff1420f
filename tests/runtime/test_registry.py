"""Entries are found by whoever asks, also while another thread imports the modules that register them."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from edgedistill.runtime.registry import Registry


def test_a_thread_that_asks_while_another_imports_waits_for_all_entries(tmp_path, monkeypatch):
    package = tmp_path / "slow_entries"
    package.mkdir()
    (package / "__init__.py").write_text("ENTRIES = None\n")
    for name in ("first", "second"):
        (package / f"{name}.py").write_text(
            f"import time\ntime.sleep(0.2)\nfrom slow_entries import ENTRIES\nENTRIES.register({name!r})(object())\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    import slow_entries

    slow_entries.ENTRIES = entries = Registry("entry", "slow_entries")
    together = threading.Barrier(4)

    def find(name):
        together.wait(20)
        return entries.find(name)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, ["second", "first", "second", "first"]))
    assert None not in found
    assert found[:2] == found[2:]
    for name in [name for name in sys.modules if name.startswith("slow_entries")]:
        monkeypatch.delitem(sys.modules, name)
