"""`fleet`: a bundle on several devices at once."""

from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..options import BundlePath, Json

FleetPath = Annotated[Path, typer.Argument(metavar="DEVICES", help="A .yaml file with the devices: docs/devices.md.")]


def fleet(devices: FleetPath, bundle: BundlePath, json: Json = False) -> None:
    """Selftest, verify, check and bench on several devices at once, over ssh: one live table, and one of the findings.

    A device that cannot be reached, or lacks something, stops no other. Every report lies in the bundle's results.

    Exit codes: 0 every device passed, 1 one failed, 3 one could not run, 4 one is undecided, 5 one has no gate to be
    judged by.

    Example: [bold]edgedistill fleet devices.yaml bundle[/]
    """
    from edgedistill import runtime
    from edgedistill.remote.fleet import run_fleet
    from edgedistill.remote.fleet_file import read_fleet

    from ..extras import register_training_formats
    from ..fleet_table import LiveTable, fleet_json, fleet_report

    register_training_formats()
    read = read_fleet(devices)
    classes = runtime.open_bundle(bundle).manifest.classes
    with LiveTable([device.name for device in read.devices], console.err) as live:
        report = run_fleet(read, bundle, classes, live.tell)
    console.print_json(fleet_json(report)) if json else fleet_report(report, console.out)
    raise typer.Exit(report.exit_code)
