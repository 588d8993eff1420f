"""Does every artifact say the same as the reference: on labelled images, and on the bundle's own photographs."""

from .golden_report import ArtifactSelfTest, SelfTestReport
from .page import parity_page
from .report import ArtifactParity, ClassParity, ParityReport
from .selftesting import selftest
from .verifying import verify

__all__ = [
    "ArtifactParity",
    "ArtifactSelfTest",
    "ClassParity",
    "ParityReport",
    "SelfTestReport",
    "parity_page",
    "selftest",
    "verify",
]
