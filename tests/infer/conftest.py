"""The tiny pipeline of the pipeline's own tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
sys.path.insert(1, str(Path(__file__).parents[1] / "world"))
