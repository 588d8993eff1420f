"""LiteRT: what runs in its toolchain's environment. Each module there is imported by itself."""
