"""Causal models: who sees whom, and that a stream with a cache equals one masked pass."""

import json

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from tiny_actions import OPTIONS, make_acting, make_actions, make_told, make_video
from tiny_transformers import make_tiny
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from vision.transformer import Actions, KVCache, VideoTransformer, rows_needed
from vision.transformer.causality import Causality

FRAMES = 8


def stream(
    model: VideoTransformer,
    video: dict[str, Tensor],
    actions: Actions | None,
    chunk: int,
    cache: KVCache,
    late: bool = False,
) -> Tensor:
    """The video part by part: a noisy pass that leaves nothing, then the pass that is kept."""
    outputs, before = [], 0
    frames = video["hidden_states"].shape[2]
    for first in range(0, frames, chunk):
        end = min(first + chunk, frames)
        given = {}
        if actions is not None:
            # One row a frame of video, or the last of them only with the next chunk.
            rows = rows_needed(end, before)[0 if late else 1]
            given = {"actions": actions.rows(before, before + rows)}
            before += rows
        part = {
            **video,
            "hidden_states": video["hidden_states"][:, :, first:end],
            "timestep": video["timestep"][:, first:end],
        }
        noise = {**part, "hidden_states": torch.randn_like(part["hidden_states"])}
        model(**noise, **given, cache=cache)
        outputs.append(model(**part, **given, cache=cache).sample)
        cache.commit()
        assert cache.start == end and cache.num_rows == before
    return torch.cat(outputs, dim=2)


@pytest.mark.parametrize(
    "kind", [*OPTIONS, "action_adaln", "some_blocks", "sticks", "none", "previous_frame"]
)
@torch.no_grad()
def test_a_stream_equals_one_masked_pass(kind):
    if kind == "none":
        model, actions = make_tiny(), None
    elif kind == "action_adaln":
        model, actions = make_acting(kind), make_actions(FRAMES)
    elif kind == "previous_frame":
        model, actions = make_told(), make_actions(FRAMES)
    elif kind == "some_blocks":
        model, actions = make_acting(blocks=[1], null_key=True), make_actions(FRAMES)
    else:
        model, actions = make_acting(**OPTIONS.get(kind, {})), make_actions(FRAMES)
    video = make_video(FRAMES)
    given = {} if actions is None else {"actions": actions}
    bidirectional = model(**video, **given).sample
    for chunk in (1, 2, 3):
        for window in (None, 3, 4):
            model.set_causal(chunk, window)
            whole = model(**video, **given).sample
            assert (whole - bidirectional).abs().max() > 1e-3
            parts = stream(model, video, actions, chunk, KVCache(), late=window == 3)
            torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    model.unset_causal()
    assert torch.equal(model(**video, **given).sample, bidirectional)


@pytest.mark.parametrize("kind", OPTIONS)
@torch.no_grad()
def test_a_frame_does_not_know_later_rows(kind):
    model, video, actions = make_acting(**OPTIONS[kind]), make_video(6), make_actions(6)
    for chunk in (1, 3):
        model.set_causal(chunk)
        before = model(**video, actions=actions).sample
        # Row 0 also stands for what was before the clip, and so reaches the first frame.
        for row in (1, 4, 7, 12, 18):
            for rows in (actions.sticks, actions.buttons):
                rows[:, row] += 1
                change = (model(**video, actions=actions).sample - before).abs().amax(dim=(0, 1, 3, 4))
                rows[:, row] -= 1
                first = row // 4 + 1
                first -= first % chunk
                assert not change[:first].any()
                assert (change[first:] > 1e-6).all()


@torch.no_grad()
def test_a_window_forgets():
    model, video = make_tiny(), make_video(6)
    model.set_causal(chunk=1, window=2)
    before = model(**video).sample
    video["hidden_states"][:, :, 0] += 1
    change = (model(**video).sample - before).abs().amax(dim=(0, 1, 3, 4))
    # Three blocks of attention to the frame before reach three frames further.
    assert (change[:4] > 1e-6).all() and change[4:].max() == 0


def test_masks():
    see = Causality(chunk=2, window=3).frame_mask(5, torch.device("cpu")).int().tolist()
    assert see == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert Causality(chunk=1).frame_mask(3, torch.device("cpu")).int().tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
    ]


@torch.no_grad()
def test_flex_computes_the_same():
    model, video, actions = make_acting(), make_video(6), make_actions(6)
    model.set_causal(2, 4)
    assert isinstance(model.causality, Causality)
    assert isinstance(model.causality.token_mask((6, 2, 3), torch.device("cpu"), "flex"), BlockMask)
    expected = model(**video, actions=actions).sample
    model.set_attention_backend("flex")
    torch.testing.assert_close(model(**video, actions=actions).sample, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_memory_stays_once_the_window_is_full():
    model, video, actions = make_acting(), make_video(3), make_actions(40)
    model.set_causal(chunk=3, window=6)
    cache, sizes, before = KVCache(), [], 0
    for part in range(6):
        rows = rows_needed(3 * part + 3, before)[0]
        model(**video, actions=actions.rows(before, before + rows), cache=cache)
        cache.commit()
        before += rows
        sizes.append(cache.num_bytes)
    assert sizes[0] < sizes[1] == sizes[2] == sizes[5]
    # Five frames of the video and sticks (6 tokens each), and of the buttons (one key each), in two blocks.
    keys = 2 * 2 * 5 * (6 + 6 + 1) * 48
    assert sizes[-1] == 4 * (2 * keys + 2 * 16 * 10)


@torch.no_grad()
def test_a_compiled_stream_compiles_no_more_once_the_window_is_full():
    model, video, actions = make_acting(), make_video(6), make_actions(6)
    model.set_causal(chunk=1, window=2)
    whole = model(**video, actions=actions).sample
    torch.compiler.reset()  # sizes seen by other tests would make this one compile for any size
    model.compile_repeated_blocks(backend="aot_eager", fullgraph=True)
    torch._dynamo.utils.counters.clear()
    parts = stream(model, video, actions, 1, KVCache())
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    # The very first pass, the first frame with the prompt at hand, all other frames.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3


@torch.no_grad()
def test_a_stream_outlasts_the_table_of_positions():
    model = VideoTransformer.from_config({**make_tiny().config, "rope_max_seq_len": 4})
    assert isinstance(model, VideoTransformer)
    model.set_causal(chunk=1, window=2)
    video, cache = make_video(1), KVCache()
    for _ in range(9):
        output = model(**video, cache=cache).sample
        cache.commit()
    # Frames alike, seeing as many alike: only differences of positions remain, which are the same.
    torch.testing.assert_close(model(**video, cache=cache).sample, output, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_prompt_is_embedded_once_and_again_when_it_changes():
    model, video = make_tiny("image"), make_video(2)
    video["encoder_hidden_states_image"] = torch.randn(2, 5, 10)
    model.set_causal(2)
    calls = []
    model.condition_embedder.text_embedder.register_forward_hook(lambda *_: calls.append(1))
    first: torch.nn.Module = model.get_submodule("blocks.0.attn2.to_k")
    first.register_forward_hook(lambda *_: calls.append(2))
    expected = model(**video).sample
    other = {**video, "encoder_hidden_states": torch.randn(2, 5, 20)}
    otherwise = model(**other).sample
    calls.clear()
    cache = KVCache()
    for _ in range(3):
        torch.testing.assert_close(model(**video, cache=cache).sample, expected, rtol=0, atol=1e-5)
    assert calls == [1, 2]
    torch.testing.assert_close(model(**other, cache=cache).sample, otherwise, rtol=0, atol=1e-5)
    assert calls == [1, 2, 1, 2]


def test_gradients_pass_through_the_last_chunk_also_when_checkpointing():
    model, video, actions = make_acting(), make_video(4), make_actions(4)
    model.set_causal(2)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.train().zero_grad()
        cache = KVCache()
        for part in range(2):
            latents = {**video, "hidden_states": video["hidden_states"][:, :, 2 * part : 2 * part + 2]}
            latents["timestep"] = video["timestep"][:, 2 * part : 2 * part + 2]
            rows = actions.rows(5 * part, 5 + 8 * part)
            output = model(**latents, actions=rows, cache=cache).sample
            cache.commit()
        # The pass is computed again after its frames were kept.
        output.square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == len(list(model.parameters())) - 1  # no sample was without actions
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0 and torch.equal(gradient, gradients[1][name]), name


def test_a_causal_model_is_saved_and_diffusers_reads_it_without_the_field(tmp_path):
    model = make_acting()
    model.set_causal(2, 5)
    model.save_pretrained(tmp_path / "causal")
    again = VideoTransformer.from_pretrained(tmp_path / "causal")
    assert again.causality == Causality(2, 5)
    assert json.loads((tmp_path / "causal" / "config.json").read_text())["causal"] == {
        "chunk": 2,
        "window": 5,
    }
    plain = make_tiny()
    plain.set_causal()
    plain.unset_causal()
    assert "causal" not in plain.config and "conditioning" not in plain.config
    plain.save_pretrained(tmp_path / "plain")
    theirs = WanTransformer3DModel.from_pretrained(tmp_path / "plain")
    assert theirs.state_dict().keys() == plain.state_dict().keys()


@torch.no_grad()
def test_bad_streams_are_refused():
    model, video, actions = make_acting(), make_video(2), make_actions(4)
    with pytest.raises(ValueError, match="call set_causal"):
        model(**video, cache=KVCache())
    with pytest.raises(ValueError, match="window is 1 latent frames, shorter than a chunk of 2"):
        model.set_causal(2, 1)
    with pytest.raises(ValueError, match="chunk is 0"):
        model.set_causal(0)
    model.set_causal(2)
    with pytest.raises(ValueError, match="attention_mask was given to a causal model"):
        model(**video, attention_mask=torch.ones(12, 12, dtype=torch.bool))
    cache = KVCache()
    with pytest.raises(ValueError, match=r"3 latent frames were given .* chunks of 2"):
        model(**make_video(3), cache=cache)
    with pytest.raises(ValueError, match="nothing to commit"):
        cache.commit()
    model(**video, actions=actions.rows(0, 4), cache=cache)
    cache.commit()
    with pytest.raises(
        ValueError, match="sticks has 4 rows; 2 latent frames from number 2, after 4 rows, take 8 or 9"
    ):
        model(**video, actions=actions.rows(4, 8), cache=cache)
    model(**video, cache=cache)
    with pytest.raises(ValueError, match="the same conditions in every pass"):
        cache.commit()
    with pytest.raises(ValueError, match="use one cache for one stream"):
        model(**make_video(2, batch=1), cache=cache)
    cache.reset()
    model(**make_video(2, batch=1), cache=cache)
