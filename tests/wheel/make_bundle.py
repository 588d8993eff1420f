"""Write the tests' small bundle, for an environment that could not: it has neither torch nor onnx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import write_tiny_bundle

write_tiny_bundle(Path(sys.argv[1]))
