"""Tiny pipelines of diffusers' own classes, saved once, and the tiny pipeline of the pipeline's own tests."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / room) for room in ("pipeline", "families")]

import pytest
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tiny_families import longcat, sd3, wan  # pyright: ignore[reportMissingImports]

from vision.distill.few_step import FewStep

MAKE = {
    "sd3": sd3,
    "longcat": longcat,
    "wan": lambda: wan(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0)),
}
GRID = [1.0, 0.75, 0.5, 0.25]


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of a stock pipeline by family, without a grid."""
    folders = {}
    for name, make in MAKE.items():
        folders[name] = tmp_path_factory.mktemp(name)
        make().save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of a few-step model by family."""
    folders = {}
    for name, make in MAKE.items():
        folders[name] = tmp_path_factory.mktemp(f"{name}-few")
        make().save_pretrained(folders[name])
        FewStep(GRID).save(folders[name])
    return folders
