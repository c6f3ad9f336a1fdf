"""The tiny worlds of tests/world, runs of the entry points, and forked processes."""

import sys
from pathlib import Path

for place, folder in enumerate((".", "../train", "../world", "../jobs")):
    sys.path.insert(place, str((Path(__file__).parent / folder).resolve()))
