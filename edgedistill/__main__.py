"""`python -m edgedistill`, which is also what torchrun starts."""

from edgedistill.cli import main

if __name__ == "__main__":
    main()
