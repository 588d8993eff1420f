"""Where a CPU's products of bytes overflow, weights have 7 bits."""

from pathlib import Path

import pytest

from edgedistill.export.quantization import products, qdq


@pytest.mark.parametrize("exact", [True, False])
def test_only_unsigned_activations_on_a_cpu_without_exact_products_change_the_weights(exact, monkeypatch):
    monkeypatch.setattr(products, "multiplies_exactly", lambda: exact)
    flavour, details = products.flavour_here(qdq.U8S8)
    assert flavour.weight_levels == (127 if exact else 64)
    assert ("weights" in details) is not exact
    assert products.flavour_here(qdq.S8S8) == (qdq.S8S8, {})


def test_the_probe_agrees_with_what_the_cpu_says_of_itself():
    facts = Path("/proc/cpuinfo")
    flags = (
        [line for line in facts.read_text("utf-8").splitlines() if line.startswith("flags")] if facts.exists() else []
    )
    if not flags:
        pytest.skip("no flags of an x86 CPU here")
    assert products.multiplies_exactly() == ("vnni" in flags[0])
