"""What training sees of a sample: windows, mirror images and times that stay together."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_tryon_model import (  # pyright: ignore[reportMissingImports] - of tests/tryon
    tiny_autoencoder,
    tiny_text_encoder,
    tiny_tokenizer,
    tiny_tryon,
)
from tiny_tryon_runs import TryOnWorkspace

from train.data.build_tryon import build_tryon, samples_of
from train.data.encoded_prompts import EncodedPrompts
from train.data.item import Item
from train.data.tryon_clips import TryOnClips
from train.methods.tryon import TryOnFlow
from train.recipes.tryon_data import TryOnDataRecipe
from vision.flow.draws import Draws
from vision.latents import encode
from vision.media.bad_item import BadItemError
from vision.tryon.clip import make_clip
from vision.tryon.control import control_latents
from vision.tryon.denoiser import TryOnDenoiser
from vision.tryon.sample import TryOnSample
from vision.tryon.sample_inputs import mirrored_text, sample_inputs
from vision.tryon.segments import action_segments
from vision.tryon.timing import Timing

SIZE, WINDOW = (48, 40), (8, 17)


@pytest.fixture(scope="module")
def sample(tryon_runs: TryOnWorkspace) -> TryOnSample:
    """A clip of 17 frames with actions before, in and after frame 8."""
    recipe = TryOnDataRecipe(path=str(tryon_runs.clips), height=48, width=40, frames=9)
    found = samples_of(recipe)[0]
    actions = ((1, 9, "zip"), (12, 14, "adjust the left collar"))
    return replace(found, record=replace(found.record, actions=actions, caption="A left hand"))


def test_conditions_are_cut_mirrored_and_timed_together(sample: TryOnSample) -> None:
    pixels = sample.load()
    # Every condition is the video itself, so that each must come out as it does.
    same = replace(pixels, pose=pixels.video, hand=pixels.video, mask=pixels.video[:1] > 127)
    plain = sample_inputs(sample, same, SIZE, WINDOW)
    mirror = sample_inputs(sample, same, SIZE, WINDOW, mirrored=True)
    for inputs in (plain, mirror):
        assert inputs["video"].shape == (3, 9, 48, 40)
        assert torch.equal(inputs["video"], inputs["pose"]) and torch.equal(inputs["video"], inputs["hands"])
        assert inputs["mask"].shape == (1, 9, 48, 40)
    for name in ("video", "mask", "garment"):
        assert torch.equal(mirror[name], plain[name].flip(-1))
    whole = sample_inputs(sample, same, SIZE)
    assert torch.equal(whole["video"][:, 8:], plain["video"])
    assert plain["actions"] == [(0, 1, "zip"), (4, 6, "adjust the left collar")]
    assert mirror["actions"] == [(0, 1, "zip"), (4, 6, "adjust the right collar")]
    assert whole["actions"] == list(sample.record.actions)


def test_words_of_the_other_side() -> None:
    text = "Left hand, LEFT or right; leftover"
    assert mirrored_text(text) == "Right hand, Right or left; leftover"
    assert mirrored_text(mirrored_text("the left, Right")) == "the left, Right"


def test_a_sample_without_pose_is_grey_and_bad_times_are_named(sample: TryOnSample) -> None:
    pixels = sample.load()
    bare = replace(sample, record=replace(sample.record, pose=None, hand=None))
    inputs = sample_inputs(bare, pixels)
    clip = make_clip(**inputs, multiples=(8, 8))
    assert inputs["pose"] is None and (clip.pose == 0).all() and (clip.hands == -1).all()
    late = replace(sample, record=replace(sample.record, actions=((3, 17, "zip"),)))
    with pytest.raises(BadItemError, match="outside the clip"):
        sample_inputs(late, pixels)


def built(workspace: TryOnWorkspace, cache: Path, **changes: object) -> tuple[TryOnClips, EncodedPrompts]:
    data = {"path": str(workspace.clips), "height": 48, "width": 40, "frames": 9, **changes}
    batches, texts = build_tryon(
        TryOnDataRecipe.model_validate(data),
        vae=tiny_autoencoder(),
        split_context=True,
        text=(tiny_tokenizer(), tiny_text_encoder()),
        max_prompt_tokens=16,
        timing=Timing(),
        cache=cache,
        seed=3,
        also=[],
    )
    assert isinstance(batches.dataset, TryOnClips)
    return batches.dataset, texts


def test_latents_are_those_of_the_window_and_come_from_the_cache(
    tryon_runs: TryOnWorkspace, tmp_path: Path
) -> None:
    clips, texts = built(tryon_runs, tmp_path, stride=8, flip=True)
    assert len(clips) == 6  # frames 0 to 8 and 8 to 16 of three clips
    vae = tiny_autoencoder()
    first = samples_of(TryOnDataRecipe(path=str(tryon_runs.clips), height=48, width=40, frames=9))[0]
    wanted = {}
    for mirrored in (False, True):
        inputs = sample_inputs(first, first.load(), SIZE, WINDOW, mirrored)
        wanted[mirrored] = make_clip(**inputs, multiples=(4, 4))
    seen = set()
    for position in range(8):
        batch = clips[Item(1, position)]
        for mirrored, clip in wanted.items():
            if torch.equal(batch["guide_latents"], encode(vae, clip.hands)[0]):
                seen.add(mirrored)
                control = control_latents(vae, clip.video, clip.mask, clip.pose, clip.garment)[0]
                assert torch.equal(batch["control_hidden_states"], control)
                assert torch.equal(batch["latents"][:, 1:], encode(vae, clip.video)[0])
                assert torch.equal(batch["latents"][:, :1], encode(vae, clip.garment)[0])
                segments = action_segments(clip.actions, 9)
                named = [said != "" for start, stop, said in segments for _ in range(start, stop)]
                assert batch["action_mask"].tolist() == named
                captions = torch.cat([texts.tokens(said) for _, _, said in segments])
                assert torch.equal(batch["timed_text"][: len(captions)], captions)
    assert seen == {False, True}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    again, _ = built(tryon_runs, tmp_path, stride=8, flip=True)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    for name, value in clips.batch([Item(1, 0), Item(4, 1)]).items():
        assert torch.equal(value, again.batch([Item(1, 0), Item(4, 1)])[name])


def test_the_garments_place_teaches_nothing_and_dropped_captions_are_unheard(
    tryon_runs: TryOnWorkspace,
) -> None:
    clips, texts = built(tryon_runs, tryon_runs.folder / "cache")
    batch = clips.batch([Item(0, 0), Item(1, 1)])
    null = texts.of([""])["encoder_hidden_states"]
    network = tiny_tryon()

    def loss(changed: dict[str, torch.Tensor], dropout: float, padding: str = "noised") -> torch.Tensor:
        method = TryOnFlow(
            TryOnDenoiser(network, null, padding), prompt_dropout=dropout, action_dropout=dropout
        )
        return method.losses(changed, Draws(0, 0, total=2))["model"]().value.detach()

    said = {name: batch[name] for name in ("timed_text", "encoder_hidden_states")}
    silent = {**batch, **{name: torch.zeros_like(value) for name, value in said.items()}}
    assert torch.equal(loss(batch, 1.0), loss(silent, 1.0))
    assert not torch.equal(loss(batch, 0.0), loss(silent, 0.0))
    # With zeros there, the network does not see the garment's own latent either.
    elsewhere = batch["latents"].clone()
    elsewhere[:, :, 0] += 1
    moved = {**batch, "latents": elsewhere}
    assert torch.equal(loss(batch, 0.0, "zeros"), loss(moved, 0.0, "zeros"))
