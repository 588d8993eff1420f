"""Which toolchains there are, and what each needs."""

from dataclasses import dataclass

from ...runtime.errors import ConfigError


@dataclass(frozen=True)
class Toolchain:
    """One toolchain.

    Attributes:
        name: as commands know it.
        module: by which it is imported.
        distribution: whose version the manifest names.
        requirements: as pip takes them; what the environment of edgedistill has and satisfies is not installed twice.
        reason: why it may need an environment of its own.
        download_mb: what pip fetches for it beside `edgedistill[all]`: the sizes of the wheels that
            `pip install --dry-run --report` lists there, on Linux x86-64 with Python 3.11.
        disk_mb: what the environment then takes, by `du -sm`, rounded up.
        extra: installs it beside edgedistill, for who prefers that; empty where there is none.
    """

    name: str
    module: str
    distribution: str
    requirements: tuple[str, ...]
    reason: str
    download_mb: int
    disk_mb: int
    extra: str = ""

    @property
    def how_to_get(self) -> str:
        """Every way, in words."""
        beside = f' (or `pip install "edgedistill[{self.extra}]"`)' if self.extra else ""
        return f"`edgedistill toolchain install {self.name}`{beside}"


TOOLCHAINS = {
    row.name: row
    for row in (
        Toolchain(
            name="coreml",
            module="coremltools",
            distribution="coremltools",
            requirements=("coremltools>=9.0", "numpy<2.4"),
            reason="coremltools 9 fails with numpy 2.4",
            download_mb=20,
            disk_mb=110,
            extra="coreml",
        ),
        Toolchain(
            name="litert",
            module="litert_torch",
            distribution="litert-torch",
            requirements=("litert-torch>=0.10", "ai-edge-litert>=2.1"),
            reason="litert-torch brings jax and transformers, and older typing_extensions and pydantic",
            download_mb=215,
            disk_mb=960,
        ),
    )
}


def toolchain(name: str) -> Toolchain:
    """The row called `name`; raises ConfigError with the known names otherwise."""
    if name not in TOOLCHAINS:
        raise ConfigError(f"unknown toolchain {name!r}: one of {', '.join(TOOLCHAINS)}.")
    return TOOLCHAINS[name]
