"""Does every artifact say the same as the reference: on labelled images, and on the bundle's own photographs."""

from .report import ArtifactParity, ArtifactSelfTest, ClassParity, ParityReport, SelfTestReport
from .selftesting import selftest
from .verifying import verify

__all__ = [
    "ArtifactParity",
    "ArtifactSelfTest",
    "ClassParity",
    "ParityReport",
    "SelfTestReport",
    "selftest",
    "verify",
]
