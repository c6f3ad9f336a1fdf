"""An autoencoder's clips may be the studio's, which have no controls beside their videos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tryon_runs import TryOnWorkspace

from train.data.clip_frames import clip_frames
from vision.media import read_video


def test_frames_of_the_studio_are_read_without_controls(tryon_runs: TryOnWorkspace, tmp_path: Path) -> None:
    videos = sorted(tryon_runs.clips.rglob("video.mp4"))
    found = clip_frames(
        tryon_runs.clips, frames=9, height=96, width=72, cache=tmp_path, layout="videos", least=9
    )
    assert len(found) == len(videos) == 3
    for clip, video in zip(found, videos, strict=True):
        pixels = torch.from_numpy(np.array(clip)).permute(3, 0, 1, 2)
        assert torch.equal(pixels, read_video(video)[0][:, :9])
    with pytest.raises(ValueError, match="holds no clips"):
        clip_frames(tmp_path, frames=9, height=96, width=72, cache=tmp_path, layout="videos")
