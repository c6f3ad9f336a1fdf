"""A transformer whose tokens are told of the frame before their chunk."""

import torch
from tiny_actions import make_acting, make_actions, make_told, make_video

from vision.transformer import KVCache, VideoTransformer

FRAMES = 5


@torch.no_grad()
def test_it_begins_as_nothing_and_keeps_the_bits() -> None:
    model, video, actions = make_acting(), make_video(FRAMES), make_actions(FRAMES)
    model.set_causal(2, 4)
    before = model(**video, actions=actions).sample
    model.add_previous_frame()
    assert torch.equal(model(**video, actions=actions).sample, before)


def test_each_frame_is_told_of_the_last_before_its_chunk() -> None:
    model, latents = make_told(), torch.randn(1, 4, FRAMES, 4, 6)
    for chunk, told in ((1, [None, 0, 1, 2, 3]), (2, [None, None, 1, 1, 3]), (3, [None, None, None, 2, 2])):
        model.set_causal(chunk)
        expected = [torch.zeros(1, 4, 4, 6) if n is None else latents[:, :, n] for n in told]
        assert torch.equal(model.last_frames(latents, None), torch.stack(expected, 2))
    model.unset_causal()
    told = model.last_frames(latents, None)
    assert not told[:, :, 0].any()
    assert torch.equal(told[:, :, 1:], latents[:, :, :1].expand(-1, -1, FRAMES - 1, -1, -1))


@torch.no_grad()
def test_a_cache_keeps_the_frame_of_the_pass_that_was_committed() -> None:
    model, video, actions = make_told(), make_video(2), make_actions(2)
    model.set_causal(1)
    cache = KVCache()
    part = {**video, "hidden_states": video["hidden_states"][:, :, :1], "timestep": video["timestep"][:, :1]}
    noise = {**part, "hidden_states": torch.randn_like(part["hidden_states"])}
    for each in (noise, part):
        model(**each, actions=actions.rows(0, 1), cache=cache)
        assert cache.last_frame is None
    empty = cache.num_bytes
    cache.commit()
    assert cache.last_frame is not None
    assert torch.equal(cache.last_frame, part["hidden_states"])
    assert cache.num_bytes - empty > part["hidden_states"].nbytes  # the frame and its keys
    fork = cache.fork()
    cache.reset()
    assert cache.last_frame is None and fork.last_frame is not None


def test_it_is_saved_and_diffusers_field_is_absent_without_it(tmp_path) -> None:
    assert "previous_frame" not in make_acting().config
    model, video, actions = make_told(), make_video(FRAMES), make_actions(FRAMES)
    model.set_causal(1, 3)
    model.save_pretrained(tmp_path)
    loaded = VideoTransformer.from_pretrained(tmp_path)
    assert loaded.config["previous_frame"] is True
    with torch.no_grad():
        assert torch.equal(loaded(**video, actions=actions).sample, model(**video, actions=actions).sample)


def test_fresh_weights_tell_nothing() -> None:
    model = make_told()
    model.init_weights()
    assert model.previous_patch_embedding is not None
    assert not model.previous_patch_embedding.weight.any()
