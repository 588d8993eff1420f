"""`verify`, `bench`, `selftest`, `inspect`: what a bundle does on this device. None of them needs torch."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from edgedistill.runtime.verdicts import EXIT_CODES

from .. import bench_options, console
from ..console import escape
from ..extras import register_training_formats, require_training
from ..here_or_there import HostName, RemoteData, benchmarking, selftesting, verifying
from ..model_options import Size, is_model_file, parse_size
from ..options import (
    ArtifactNames,
    BackendName,
    BundleOrModel,
    BundlePath,
    DecodeName,
    DeviceName,
    Json,
    MaxBadShare,
    Page,
    PrecisionName,
    RequireSignature,
    Threads,
)
from ..signals import sigterm_like_ctrl_c


def verify(
    bundle: BundlePath,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labelled images: .csv, COCO .json, VOC or NUS-WIDE folder, or a .yaml dataset."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="The image folder, where --data does not imply it.")
    ] = None,
    artifact: ArtifactNames = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="The artifact that is the reference: its name, or as in onnx/fp32."),
    ] = None,
    preset: Annotated[
        Literal["99", "99.9"] | None,
        typer.Option("--preset", help="Also a gate: so many percent of the reference's mAP are kept, as in MLPerf."),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Also the paired bootstrap's interval, from so many resamples.")
    ] = 0,
    page: Page = None,
    max_bad_share: MaxBadShare = 0.01,
    decode: DecodeName = "full",
    require_signature: RequireSignature = None,
    host: HostName = None,
    remote_data: RemoteData = None,
    json: Json = False,
) -> None:
    """Same mAP as the reference, on this device? Says which classes and images changed, and which class lost what.

    Exit codes: 0 every gate is met, 1 one failed or the bundle's own photographs give other outputs, 3 nothing could
    run here, 4 undecided (too few images), 5 not judged (neither the deploy config nor --preset has a gate).

    Example: [bold]edgedistill verify bundle --data test/labels.csv[/]
    """
    from edgedistill import runtime
    from edgedistill.runtime.datasets import Dataset
    from edgedistill.runtime.page import write_page
    from edgedistill.runtime.parity import parity_page

    from ..asked_images import labelled_images, refuse_folders
    from ..render import parity_report, verdict

    refuse_folders(page=page)
    register_training_formats()
    opened = runtime.open_bundle(bundle, require_signature=require_signature)
    labelled = labelled_images(opened, data, images, host=host, remote_data=remote_data, page=page)
    with verifying(host) as verify_it:
        report = verify_it(
            opened,
            labelled,
            artifacts=artifact,
            backend=backend,
            precision=precision,
            threads=threads,
            device=device,
            max_bad_share=max_bad_share,
            against=against,
            preset=preset,
            resamples=resamples,
            decode=decode,
        )
    console.print_json(verdict(report)) if json else parity_report(report, console.out)
    if page is not None and isinstance(labelled, Dataset):
        write_page(page, parity_page(report, labelled))
    raise typer.Exit(EXIT_CODES[report.verdict])


def bench(
    bundle: BundleOrModel,
    preset: Annotated[
        Literal["demo", "smoke", "quick", "full"] | None,
        typer.Option(help="How long to measure; default: each deploy config's own."),
    ] = None,
    artifact: ArtifactNames = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    device: DeviceName = None,
    scenario: bench_options.ScenarioName = None,
    batch_size: bench_options.BatchSizes = None,
    threads: bench_options.ThreadCounts = None,
    streams: bench_options.Streams = None,
    max_p99_ms: bench_options.MaxP99 = None,
    photo: bench_options.Photo = None,
    size: Size = None,
    one_at_a_time: Annotated[
        bool,
        typer.Option("--one-at-a-time", help="Load an artifact for each of its turns, so that no two are in memory."),
    ] = False,
    max_p90_ms: bench_options.MaxP90 = None,
    max_rss: bench_options.MaxRss = None,
    max_bytes: bench_options.MaxBytes = None,
    require_signature: RequireSignature = None,
    host: HostName = None,
    json: Json = False,
) -> None:
    """Latency, throughput and memory of every artifact, in processes of their own, watched for disturbance.

    Without a gate this measures and judges nothing: it exits with 0. A gate that fails exits with 1; one that a
    disturbed machine or too few inferences leave undecided with 4.

    Example: [bold]edgedistill bench bundle --scenario throughput --threads 1,2[/]
    """
    from edgedistill.runtime.bench.report import BenchInterruptedError, BenchReport
    from edgedistill.runtime.precisions import precision_of

    from ..bench_table import bench_json, bench_report

    sizes = bench_options.counts("--batch-size", batch_size)
    thread_counts = bench_options.counts("--threads", threads)
    limits = bench_options.gates(max_p90_ms, max_rss, max_bytes)
    if precision is not None and is_model_file(bundle):  # of a bundle it is a choice among what is there
        precision_of(precision)

    def show(report: BenchReport) -> None:
        console.print_json(bench_json(report)) if json else bench_report(report, console.out)

    with sigterm_like_ctrl_c(), benchmarking(host) as benchmark:
        try:
            report = benchmark(
                bundle,
                artifacts=artifact,
                backend=backend,
                precision=precision,
                preset=preset,
                scenario=scenario,
                threads=thread_counts,
                device=device,
                batch_size=sizes,
                streams=streams,
                max_p99_ms=max_p99_ms,
                photo=photo,
                limits=limits,
                size=None if size is None else parse_size(size),
                one_at_a_time=one_at_a_time,
                require_signature=require_signature,
            )
        except BenchInterruptedError as interrupted:
            show(interrupted.report)
            raise
    show(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def selftest(
    bundle: BundlePath,
    artifact: ArtifactNames = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
    require_signature: RequireSignature = None,
    host: HostName = None,
    json: Json = False,
) -> None:
    """The shortest proof: the bundle's own photographs give the training framework's outputs here.

    Exit codes: 0 every artifact that ran agrees, 1 one differs or is refused, 3 nothing could run here.

    Example: [bold]edgedistill selftest bundle[/]
    """
    from ..render import selftest_report, verdict

    with selftesting(host) as test:
        report = test(
            bundle,
            artifacts=artifact,
            backend=backend,
            precision=precision,
            threads=threads,
            device=device,
            require_signature=require_signature,
        )
    console.print_json(verdict(report)) if json else selftest_report(report, console.out)
    raise typer.Exit(EXIT_CODES[report.verdict])


def inspect(bundle: BundleOrModel, require_signature: RequireSignature = None, json: Json = False) -> None:
    """What a bundle holds, where it came from, who signed it, and whether its files are intact; or what a model file
    takes and gives.

    Of a student (.safetensors) it says how well the weights suit int8, before and after re-parameterization.

    Example: [bold]edgedistill inspect bundle[/]
    """
    if bundle.suffix == ".safetensors":
        _inspect_student(bundle, json)
        return
    if is_model_file(bundle):
        _inspect_model_file(bundle, json, require_signature)
        return
    from edgedistill import runtime

    from ..bundle_table import bundle_table
    from ..signature_note import signature_note

    opened = runtime.open_bundle(bundle, require_signature=require_signature)
    for entry in opened.manifest.files():
        opened.read(entry)
    signed = signature_note(opened)  # also with --json: a signature that does not fit is an error
    if json:
        console.print_json(msgspec.Raw(opened.manifest_bytes))
        return
    bundle_table(opened, console.out)
    console.out.print(escape(signed), soft_wrap=True)


def _inspect_model_file(path: Path, json: bool, require_signature: str | None) -> None:
    from edgedistill.runtime.bundle.loose import open_source
    from edgedistill.runtime.bundle.selection import open_artifact

    from ..model_file_facts import model_file_facts, model_file_table

    opened = open_source(path, require_signature=require_signature)
    with open_artifact(opened, opened.manifest.artifacts[0]) as loaded:
        facts = model_file_facts(path, opened.manifest.artifacts[0], loaded)
    console.print_json(facts) if json else model_file_table(facts, console.out)


def _inspect_student(path: Path, json: bool) -> None:
    from ..checkpoints import checkpoint_classes

    require_training("inspect STUDENT")
    checkpoint_classes(path)  # a mistake is told before torch is imported
    from ..student_facts import student_facts, student_table

    facts = student_facts(path)
    console.print_json(facts) if json else student_table(facts, console.out)
