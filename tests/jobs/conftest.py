"""Runs of the entry points, each made once and read by many tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "train"))  # forked.py
sys.path.insert(2, str(Path(__file__).parents[1] / "world"))  # tiny_world.py
sys.path.insert(3, str(Path(__file__).parents[1] / "pipeline"))  # tiny_pipeline.py

from tiny_runs import Workspace

from train import base, cdm, features


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="session")
def metrics(workspace: Workspace) -> Path:
    """What train.features made: a feature network and the statistics of held-out pictures."""
    return workspace.run(features.main, workspace.features("features")) / "final"


@pytest.fixture(scope="session")
def teacher_run(workspace: Workspace) -> Path:
    """A run of train.base from scratch."""
    return workspace.run(base.main, workspace.base("teacher"))


@pytest.fixture(scope="session")
def teacher(teacher_run: Path) -> Path:
    """The pipeline that it made."""
    return teacher_run / "final"


@pytest.fixture(scope="session")
def student_run(workspace: Workspace, teacher: Path) -> Path:
    """A run of train.cdm, in bfloat16 as by default, with the drawn schedule."""
    return workspace.run(cdm.main, workspace.cdm("student", teacher))


@pytest.fixture(scope="session")
def lora_run(workspace: Workspace, teacher: Path) -> Path:
    """A run of train.cdm that trains adapters, on a fixed grid, with an anchor-aware fake score."""
    recipe = workspace.cdm("student-lora", teacher)
    recipe |= {"memory": "lora", "lora": {"rank": 2, "alpha": 4.0}}
    recipe["cdm"] |= {"fixed_grid": [1.0, 0.75, 0.5, 0.25], "anchor_aware": True}
    return workspace.run(cdm.main, recipe)
