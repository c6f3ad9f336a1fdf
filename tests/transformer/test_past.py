"""One pass over a noisy video beside its clean past: what a stream does, for every chunk at once."""

import pytest
import torch
from tiny_actions import OPTIONS, make_acting, make_actions, make_told, make_video
from tiny_transformers import make_inputs, make_tiny
from torch.nn.attention.flex_attention import BlockMask

from vision.transformer import Actions, KVCache
from vision.transformer.action_input import rows_needed

FRAMES = 5


@pytest.mark.parametrize("kind", [*OPTIONS, "action_adaln", "none", "previous_frame"])
@pytest.mark.parametrize(("chunk", "window"), [(1, None), (1, 3), (2, 3), (3, None)])
@torch.no_grad()
def test_each_chunk_sees_the_clean_chunks_before_it(kind, chunk, window):
    if kind == "none":
        model = make_tiny()
    elif kind == "previous_frame":
        model = make_told()
    else:
        model = make_acting(kind) if kind == "action_adaln" else make_acting(**OPTIONS[kind])
    actions = None if kind == "none" else make_actions(FRAMES)
    model.set_causal(chunk, window)
    video, past = make_video(FRAMES), torch.randn(2, 4, FRAMES, 4, 6)
    found = model(**video, past=past, **({} if actions is None else {"actions": actions})).sample
    assert found.shape == past.shape
    for first in range(0, FRAMES, chunk):
        end = min(first + chunk, FRAMES)
        latents = torch.cat([past[:, :, :first], video["hidden_states"][:, :, first:end]], 2)
        timestep = video["timestep"][:, :end].clone()
        timestep[:, :first] = 0
        given = {} if actions is None else {"actions": actions.rows(0, rows_needed(end)[1])}
        alone = model(
            hidden_states=latents,
            timestep=timestep,
            encoder_hidden_states=video["encoder_hidden_states"],
            **given,
        ).sample
        torch.testing.assert_close(found[:, :, first:end], alone[:, :, first:], rtol=0, atol=1e-5)


@torch.no_grad()
def test_one_time_for_all_frames_and_flex():
    model, video, actions = make_acting(), make_video(FRAMES), make_actions(FRAMES)
    model.set_causal(2, 3)
    past = torch.randn_like(video["hidden_states"])
    video["timestep"] = video["timestep"][:, :1].expand(-1, FRAMES)
    expected = model(**video, past=past, actions=actions).sample
    video["timestep"] = video["timestep"][:, 0]
    torch.testing.assert_close(model(**video, past=past, actions=actions).sample, expected, rtol=0, atol=1e-6)
    model.set_attention_backend("flex")
    assert model.causality is not None
    mask = model.causality.token_mask((FRAMES, 2, 3), torch.device("cpu"), "flex", with_past=True)
    assert isinstance(mask, BlockMask)
    torch.testing.assert_close(model(**video, past=past, actions=actions).sample, expected, rtol=0, atol=1e-5)


def test_gradients_reach_what_the_past_is_read_with():
    model, video, actions = make_acting(), make_video(3), make_actions(3)
    model.set_causal(1)
    past = torch.randn_like(video["hidden_states"]).requires_grad_()
    model(**video, past=past, actions=actions).sample[:, :, 2].square().sum().backward()
    assert past.grad is not None
    reached = past.grad.abs().amax(dim=(0, 1, 3, 4)) > 0
    assert reached.tolist() == [True, True, False]


def test_mistakes_are_told():
    video, past = make_video(2), torch.randn(2, 4, 2, 4, 6)
    with pytest.raises(ValueError, match="whose frames all see each other; call set_causal"):
        make_acting()(**video, past=past)
    model = make_acting()
    model.set_causal(2)
    with pytest.raises(ValueError, match=r"past has shape \(2, 4, 1, 4, 6\), expected"):
        model(**video, past=past[:, :, :1])
    with pytest.raises(ValueError, match="beside a cache"):
        model(
            **video, past=past, cache=KVCache(), actions=Actions(torch.zeros(2, 5, 4), torch.zeros(2, 5, 6))
        )
    inputs = make_inputs()
    with pytest.raises(ValueError, match="call set_causal"):
        make_tiny()(**inputs, past=inputs["hidden_states"])
