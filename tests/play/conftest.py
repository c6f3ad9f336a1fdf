"""The tiny worlds of the world's own tests, and a server of one."""

import sys
from pathlib import Path

import pytest

from vision import WorldPipeline

sys.path.insert(0, str(Path(__file__).parents[1] / "world"))


@pytest.fixture(scope="module")
def world() -> WorldPipeline:
    from playable_world import playable_world

    return playable_world()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("play")


@pytest.fixture(scope="module")
def server(world: WorldPipeline, folder: Path):
    from playable_world import options_for

    from infer.playing.server import served_in_thread

    with served_in_thread(world, options_for(folder)) as address:
        yield address
