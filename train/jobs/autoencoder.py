"""The run of an autoencoder recipe: clips and network put together."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train.data.batches import Batches
from train.data.clip_frames import clip_frames
from train.data.clip_windows import ClipWindows
from train.data.order import EpochOrder
from train.estimate import Estimate, NetworkSize, estimate
from train.jobs.job import Job
from train.jobs.reconstructing import (
    clip_psnr,
    latent_statistics,
    reconstructed,
    reconstruction_preview,
)
from train.methods.autoencoding import Autoencoding
from train.previews import Preview
from train.processes import say
from train.recipes.autoencoder import AutoencoderRecipe, AutoencoderShape
from vision.latents import TinyVideoAutoencoder, load_autoencoder, spatial_factor
from vision.latents.fidelity import Fidelity

NETWORK = AutoencoderRecipe.networks[0]
#: Clips of the training data whose latents give the statistics, at most.
STATISTICS_CLIPS = 200


class AutoencoderJob(Job[AutoencoderRecipe]):
    """Trains the autoencoder; exports it with its latents' statistics and its fidelity."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        size = NetworkSize.of(self._network())
        return {NETWORK: estimate(size, None, self.recipe.train, averaged=True, processes=processes)}

    def prepare(self) -> tuple[Autoencoding, Batches, Preview]:
        recipe, settings = self.recipe, self.recipe.autoencoding
        network = self._network()
        factor = spatial_factor(network)
        for name in ("height", "width"):
            found = getattr(recipe.data, name)
            if found % factor:
                raise ValueError(
                    f"data.{name} is {found}, expected a multiple of {factor} (one latent is so many "
                    f"pixels wide); change data.{name}, shape.patch_size or shape.widths"
                )
        clips = self._clips(recipe.data.path, settings.window)
        method = Autoencoding(network, gradient_weight=settings.gradient_weight, kl_weight=settings.kl_weight)
        windows = ClipWindows(clips, settings.window, recipe.train.seed)
        batches = Batches(windows, EpochOrder(len(windows)), recipe.train.seed)
        shown = _evenly(self._clips(recipe.data.held_out, settings.window), recipe.shown)
        return method, batches, reconstruction_preview(shown, recipe.columns, NETWORK)

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        network = self._network()
        network.load_state_dict(weights)
        network.eval()
        data, window = self.recipe.data, self.recipe.autoencoding.window
        measured = _evenly(self._clips(data.path, window), STATISTICS_CLIPS)
        mean, std = latent_statistics(network, measured)
        network.register_to_config(latents_mean=mean, latents_std=std)
        found = [clip_psnr(*reconstructed(network, clip)) for clip in self._clips(data.held_out, window)]
        fidelity = Fidelity(Path(data.held_out).name, len(found), sum(found) / len(found), min(found))
        network.save_pretrained(folder)
        fidelity.save(folder)
        say(f"PSNR on {fidelity.clips} held-out clips: {fidelity.psnr:.2f} dB")
        return "loads with vision.latents.load_autoencoder"

    def _network(self) -> TinyVideoAutoencoder:
        if self.recipe.weights is not None:
            network = load_autoencoder(self.recipe.weights, dtype=torch.float32)
            if not isinstance(network, TinyVideoAutoencoder):
                raise ValueError(
                    f"{self.recipe.weights} is of class {type(network).__name__}, expected a "
                    "TinyVideoAutoencoder; give a folder that train.autoencoder made"
                )
            # Pixels are all that training sees; the statistics are measured anew at its end.
            network.register_to_config(latents_mean=None, latents_std=None)
            return network
        shape = self.recipe.shape or AutoencoderShape()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.train.seed)
            return TinyVideoAutoencoder(**shape.model_dump())

    def _clips(self, root: str, least: int) -> list[np.ndarray]:
        data = self.recipe.data
        return clip_frames(
            root,
            frames=data.frames,
            height=data.height,
            width=data.width,
            cache=Path(self.recipe.cache) / "frames",
            layout=data.layout,
            least=least,
            max_bad_share=data.max_bad_share,
        )


def _evenly(clips: list[np.ndarray], count: int) -> list[np.ndarray]:
    """At most ``count`` of the clips, evenly spaced."""
    taken = np.linspace(0, len(clips) - 1, min(len(clips), count)).round().astype(int)
    return [clips[number] for number in taken]
