"""The shortest proof that a bundle works here: its own photographs give the training framework's outputs."""

from collections.abc import Sequence
from pathlib import Path

from ..backends.base import Backend
from ..bundle.loose import open_source
from ..bundle.opened import Bundle
from ..bundle.selection import nothing_ran, select_artifacts, try_artifact
from ..device import device_slug
from ..errors import BundleError
from ..predictor import Predictor
from ..targets import check_threads
from .golden import GoldenSet, decoder, not_run
from .golden_report import SelfTestReport


def selftest(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    tolerance: float | None = None,
    require_signature: str | Path | None = None,
) -> SelfTestReport:
    """Decode the bundle's photographs, resize, infer, and compare with the training framework's logits.

    The photographs are original files, so decoding and resizing are proven with the model; the graph's own inputs and
    outputs are held against the manifest when it is loaded. An artifact may differ by three times the largest error
    that export measured for it, and on average by one and a half times the mean error, and by 0.001 (or 1e-4 of the
    logits' spread) in any case; where export could not run it, by its precision's share of the spread
    (`runtime.precisions`). A JPEG decoder other than libjpeg-turbo may
    decode some pixels one level apart, which can exceed that: a failure on JPEG files alone is worded accordingly.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        artifacts: names; all that match by default.
        backend: only this backend's.
        precision: only this precision's.
        threads: intra-op threads of the backends, overriding the deploy configs.
        device: the backends' device word, overriding the deploy configs; one that does not know it could not run.
        tolerance: allowed absolute difference of a logit, in place of the above.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Returns:
        The report; an artifact that cannot run here is in it with the reason.

    Raises:
        ConfigError: an impossible number of threads.
        BundleError: not signed by that key, no such artifact, no photographs, an altered one, or none could be run and
            one was refused.
        DataError: a photograph cannot be decoded here.
        MissingDependencyError: no artifact could be run here.
    """
    check_threads(threads)
    opened = open_source(bundle, require_signature=require_signature)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    golden = GoldenSet.of(opened)
    if golden is None:
        raise BundleError(f"{opened.root}: carries no self-test photographs. `edgedistill export` adds them.")

    tested, failures = [], {}
    for artifact in chosen:
        loaded = try_artifact(opened, artifact, threads=threads, device=device)
        if isinstance(loaded, Backend):
            with Predictor(opened.manifest, artifact, loaded) as predictor:
                tested.append(golden.test(predictor, tolerance))
        else:
            failures[artifact.name] = loaded
            tested.append(not_run(artifact, loaded))
    if len(failures) == len(chosen):
        raise nothing_ran(opened, failures)
    return SelfTestReport(bundle=opened.manifest.name, device=device_slug(), decoder=decoder(), artifacts=tuple(tested))
