"""The guider and its timed texts: fresh the identity, what each position and mask does, made once a clip."""

from typing import Any

import pytest
import torch
from tiny_context import CONTROL, guide_inputs, make_guided, make_vace, vace_inputs
from tiny_transformers import TINY, make_inputs, make_tiny, randomize

from vision.transformer import (
    BlockContext,
    GuideCache,
    Guider,
    KVCache,
    TimedTextAttention,
    VideoTransformer,
    rotate_1d,
)

GRID = (3, 4, 3)
OPTIONS = {
    "plain": {},
    "two_layers": {"num_layers": 2},
    "shared": {"shared_projection": True},
    "direct": {"direct": True},
}


def guider_of(model: VideoTransformer) -> Any:
    return model.guides["guider"]


def context_of(conditions: dict[str, torch.Tensor]) -> BlockContext:
    """What timed texts read, of texts that are embedded already."""
    nothing: Any = None
    return BlockContext(nothing, None, nothing, nothing, GRID, None, None, conditions)


def timed(**options: Any) -> TimedTextAttention:
    module = TimedTextAttention(make_tiny().config, **options)
    randomize(module, 0.3)
    return module


def texts(batch: int = 2) -> dict[str, torch.Tensor]:
    given = {name: value for name, value in guide_inputs().items() if name[:5] in ("timed", "frame", "text_")}
    return {**given, "timed_text_tokens": torch.randn(batch, 7, 48)}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@torch.no_grad()
def test_fresh_the_whole_equals_vace_bit_for_bit(options):
    model, inputs = make_vace([0, 2]), vace_inputs()
    before = model(**inputs).sample
    model.add_conditioning("guider", **options)
    for _ in range(3):
        assert torch.equal(model(**inputs, **guide_inputs()).sample, before)
    randomize(guider_of(model))
    assert (model(**inputs, **guide_inputs()).sample - before).abs().max() > 1e-2
    assert torch.equal(model(**inputs).sample, before)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_reach_the_projections_first_and_then_the_guider(options):
    model, inputs, guide = make_vace([0, 1]), vace_inputs(), guide_inputs()
    model.add_conditioning("guider", **options)
    guider = guider_of(model)
    projections = {id(p) for layers in (guider.to_context, guider.to_blocks) for p in layers.parameters()}

    def gradients() -> tuple[list[float], list[float]]:
        model.zero_grad()
        model(**inputs, **guide).sample.square().mean().backward()
        found = {p: 0.0 if p.grad is None else p.grad.abs().max().item() for p in guider.parameters()}
        return (
            [size for p, size in found.items() if id(p) in projections],
            [size for p, size in found.items() if id(p) not in projections and p.ndim > 1],
        )

    first, inner = gradients()
    assert min(first) > 0 and max(inner) == 0
    with torch.no_grad():
        for p in guider.parameters():
            if id(p) in projections:
                p -= 1e-2 * p.grad
    assert min(gradients()[1]) > 0


def test_a_guider_starts_from_the_first_block():
    model = make_vace([0, 1])
    model.add_conditioning("guider", num_layers=2)
    guider, source = guider_of(model), model.blocks[0]
    assert torch.equal(guider.patch_embedding.weight, model.patch_embedding.weight)
    for block in guider.blocks:
        for target, name in (
            (block.attn1, "attn1"),
            (block.ffn, "ffn"),
            (block.attn2, "attn2"),
            (block.timed_text.attn, "attn2"),
        ):
            for p, q in zip(target.parameters(), getattr(source, name).parameters(), strict=True):
                assert torch.equal(p, q)


@torch.no_grad()
def test_from_scratch_a_guider_adds_nothing_but_hears_its_texts():
    model, inputs, guide = make_guided(), vace_inputs(), guide_inputs()
    model.init_weights()
    for parameter in (*model.vace_blocks.parameters(), *model.proj_out.parameters()):  # type: ignore
        parameter.normal_(std=0.2)
    assert torch.equal(model(**inputs, **guide).sample, model(**inputs).sample)
    guider = guider_of(model)
    heard: list[torch.Tensor] = []
    guider.blocks[-1].register_forward_hook(lambda module, args, output: heard.append(output))
    model(**inputs, **guide)
    model(**inputs, **{**guide, "timed_text": -guide["timed_text"]})
    assert (heard[1] - heard[0]).abs().max() > 1e-3


@torch.no_grad()
def test_the_guide_is_made_once_and_equals_one_made_anew():
    model, guide = make_guided(), guide_inputs()
    calls: list[int] = []
    guider_of(model).blocks[0].register_forward_hook(lambda *_: calls.append(1))
    inputs, cache = vace_inputs(), GuideCache()
    for step in range(3):
        inputs |= {"hidden_states": torch.randn(2, 4, 3, 8, 6), "timestep": 1000 * torch.rand(2)}
        kept = model(**inputs, **guide, guide_cache=cache).sample
        assert len(calls) == 1 + step
        assert torch.equal(kept, model(**inputs, **guide).sample)
    # Any other tensor, or another length, is another guide.
    other = {**guide, "timed_text": guide["timed_text"] + 1}
    assert torch.equal(model(**inputs, **other, guide_cache=cache).sample, model(**inputs, **other).sample)
    assert not torch.equal(model(**inputs, **other, guide_cache=cache).sample, kept)
    before = len(calls)
    with torch.enable_grad():
        model(**inputs, **other, guide_cache=cache)
    assert len(calls) == before + 1


@torch.no_grad()
def test_the_guide_does_not_depend_on_noise_or_time_and_comes_in_by_its_projections_alone():
    model, guide, inputs = make_guided(), guide_inputs(), vace_inputs()
    seen: list[torch.Tensor] = []
    guider_of(model).blocks[-1].register_forward_hook(lambda module, args, output: seen.append(output))
    model(**inputs, **guide)
    model(**{**inputs, "hidden_states": torch.randn(2, 4, 3, 8, 6), "timestep": torch.rand(2)}, **guide)
    assert torch.equal(*seen)
    # Whatever is added after a context block shifts what the next one sees.
    expected = model(**inputs, **guide).sample
    for level in guider_of(model).to_context:
        level.weight.zero_()
        level.bias.zero_()
    assert (model(**inputs, **guide).sample - expected).abs().max() > 1e-2
    assert torch.equal(model(**inputs, **guide).sample, model(**inputs).sample)


@torch.no_grad()
def test_missing_frames_of_a_guide_are_tokens_of_zero_before_it():
    model, inputs, guide = make_guided(), vace_inputs(), guide_inputs()
    entered: list[torch.Tensor] = []
    guider_of(model).blocks[0].register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    model(**inputs, **guide)
    tokens = entered[0].unflatten(1, GRID)
    assert tokens[:, 0].abs().max() == 0 and tokens[:, 1:].abs().min() > 0
    expected = guider_of(model).patch_embedding(guide["guide_latents"]).permute(0, 2, 3, 4, 1)
    assert torch.equal(tokens[:, 1:], expected)


def test_checkpointed_gradients_are_the_same():
    model, inputs, guide = make_guided({"direct": True}), vace_inputs(), guide_inputs()
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.train().zero_grad()
        model(**inputs, **guide).sample.square().mean().backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert gradient is not None
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-6)


def test_options_are_saved(tmp_path):
    model = make_guided({"direct": True, "num_layers": 2, "spans": True})
    model.save_pretrained(tmp_path)
    again = VideoTransformer.from_pretrained(tmp_path)
    assert again.config["conditioning"] == {"guider": {"direct": True, "num_layers": 2, "spans": True}}
    given = {**vace_inputs(), **guide_inputs(), "text_spans": torch.rand(2, 7, 2)}
    with torch.no_grad():
        assert torch.equal(model(**given).sample, again(**given).sample)


@pytest.mark.parametrize("mode", ["weights", "autocast"])
def test_bfloat16_runs_and_stays_near_float32(mode):
    model = make_guided({"direct": True, "spans": True})
    for parameter in model.parameters():
        parameter.data.mul_(0.5)
    given = {**vace_inputs(), **guide_inputs(), "text_spans": torch.rand(2, 7, 2)}
    with torch.no_grad():
        exact = model(**given).sample
    if mode == "weights":
        model.to(torch.bfloat16)  # type: ignore
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        output = model(**given).sample
    assert output.dtype == torch.bfloat16
    assert (output - exact).square().mean() < 1e-3 * exact.square().mean()
    output.float().square().mean().backward()
    for part in ("guides", "vace_blocks", "vace_patch_embedding"):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in getattr(model, part).parameters())


# ------------------------------------------------------------------ timed texts


@torch.no_grad()
def test_timed_texts_are_cross_attention_with_rotated_queries_and_keys():
    module, x, given = timed(), torch.randn(2, 36, 48), texts()
    found = module(x, context_of(given)) - x
    query = module.attn.norm_q(module.attn.to_q(module.norm(x)), 2)
    key = module.attn.norm_k(module.attn.to_k(given["timed_text_tokens"]), 2)
    value = module.attn.to_v(given["timed_text_tokens"]).unflatten(-1, (2, -1))
    positions = given["frame_positions"].repeat_interleave(12, 1)
    scores = torch.einsum(
        "blhe,bmhe->bhlm", rotate_1d(query, positions), rotate_1d(key, given["text_positions"])
    )
    mask = given["timed_text_mask"].repeat_interleave(12, 1)[:, None]
    weights = (scores / 24**0.5).masked_fill(~mask, -1e9).softmax(-1)
    expected = module.output(torch.einsum("bhlm,bmhe->blhe", weights, value).flatten(2))
    torch.testing.assert_close(found[:, 12:], expected[:, 12:], rtol=0, atol=1e-5)
    assert found[:, :12].abs().max() == 0  # the first frame sees no token
    torch.testing.assert_close(
        module.weights(x, context_of(given))[:, :, 12:], weights[:, :, 12:], rtol=0, atol=1e-6
    )
    assert module.weights(x, context_of(given))[:, :, :12].abs().max() == 0


@torch.no_grad()
def test_equal_positions_are_plain_cross_attention():
    module, x, given = timed(), torch.randn(2, 36, 48), texts()
    del given["timed_text_mask"]
    plain = {"timed_text_tokens": given["timed_text_tokens"]}
    for place in (0.0, 4.0, 17.5):
        same = {"frame_positions": torch.full((2, 3), place), "text_positions": torch.full((2, 7), place)}
        torch.testing.assert_close(
            module(x, context_of({**plain, **same})), module(x, context_of(plain)), rtol=0, atol=2e-5
        )
    assert (module(x, context_of(given)) - module(x, context_of(plain))).abs().max() > 1e-3


@torch.no_grad()
def test_one_token_gives_every_frame_the_same_and_values_are_not_rotated():
    module, x, given = timed(), torch.randn(2, 36, 48), texts()
    positions = {name: given[name] for name in ("frame_positions",)}
    single = {
        "timed_text_tokens": given["timed_text_tokens"][:, :1],
        **positions,
        "text_positions": torch.zeros(2, 1),
    }
    update = module(x, context_of(single)) - x
    torch.testing.assert_close(update, update[:, :1].expand_as(update), rtol=0, atol=2e-5)
    # Equal values of all tokens come out as they are, whatever the positions say.
    module.attn.to_v.weight.zero_()
    del given["timed_text_mask"]
    update = module(x, context_of(given)) - x
    torch.testing.assert_close(update, update[:, :1].expand_as(update), rtol=0, atol=2e-5)


@torch.no_grad()
def test_the_order_of_texts_does_not_matter_when_positions_go_along():
    module, x, given = timed(spans=True), torch.randn(2, 36, 48), texts()
    given["text_spans"] = torch.rand(2, 7, 2)
    order = torch.randperm(7)
    moved = {
        **given,
        **{name: given[name][:, order] for name in ("timed_text_tokens", "text_positions", "text_spans")},
        "timed_text_mask": given["timed_text_mask"][:, :, order],
    }
    torch.testing.assert_close(module(x, context_of(moved)), module(x, context_of(given)), rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_frame_sees_the_tokens_of_its_mask_alone():
    module, x, given = timed(), torch.randn(2, 36, 48), texts()
    given["timed_text_mask"] = torch.zeros(2, 3, 7, dtype=torch.bool)
    given["timed_text_mask"][:, 1, :3] = given["timed_text_mask"][:, 2, 3:] = True
    before = module(x, context_of(given))
    given["timed_text_tokens"][:, :3] += 1
    changed = (module(x, context_of(given)) - before).abs().amax((0, 2)).unflatten(0, (3, 12))
    assert changed[1].min() > 0 and changed[[0, 2]].max() == 0


@torch.no_grad()
def test_fresh_spans_say_nothing_and_trained_ones_reach_keys_and_values():
    module, x, given = timed(spans=True), torch.randn(2, 36, 48), texts()
    spans = {"text_spans": torch.tensor([[[0.0, 2.0]] * 3 + [[2.0, 3.0]] * 4] * 2)}
    assert (module(x, context_of({**given, **spans})) - module(x, context_of(given))).abs().max() > 1e-3
    module.reset_parameters()
    randomize(module.attn, 0.3)
    assert torch.equal(module(x, context_of({**given, **spans})), module(x, context_of(given)))
    with pytest.raises(ValueError, match="spans=True"):
        timed()(x, context_of({**given, **spans}))


@torch.no_grad()
def test_timed_texts_may_stand_in_any_block():
    model, inputs = make_tiny(), make_inputs(text_tokens=5)
    given = {name: value for name, value in guide_inputs().items() if name != "guide_latents"}
    before = model(**inputs).sample
    model.add_conditioning("timed_text", blocks=[1])
    assert torch.equal(model(**inputs, **given).sample, before)
    randomize(model)
    assert not torch.allclose(model(**inputs, **given).sample, model(**inputs).sample, atol=1e-2)


# ------------------------------------------------------------------ mistakes


@torch.no_grad()
def test_conditions_that_do_not_fit():
    model, inputs, guide = make_guided(), vace_inputs(), guide_inputs()
    for name, value, message in (
        (
            "guide_latents",
            torch.randn(2, 4, 4, 8, 6),
            r"\(2, 4, 4, 8, 6\); expected \(2, 4, at most 3, 8, 6\)",
        ),
        ("guide_latents", torch.randn(2, 3, 2, 8, 6), r"expected \(2, 4, at most 3"),
        ("guide_latents", None, "timed_text was given to a guider without guide_latents"),
        ("timed_text", torch.randn(1, 7, 20), "timed_text has 1 samples; expected 2"),
        ("timed_text_mask", torch.ones(2, 2, 7), r"mask has shape \(2, 2, 7\); expected \(2, 3, 7\)"),
        ("text_positions", torch.zeros(2, 6), r"text_positions has shape \(2, 6\); expected \(2, 7\)"),
        ("frame_positions", None, "belong together"),
    ):
        with pytest.raises(ValueError, match=message):
            model(**inputs, **{**guide, name: value})
    with pytest.raises(ValueError, match="reads no condition called"):
        make_vace([0])(**inputs, **guide)


def test_a_guider_needs_context_blocks_and_a_block():
    with pytest.raises(ValueError, match=r"needs context blocks.*add_conditioning\('vace'"):
        make_tiny().add_conditioning("guider")
    with pytest.raises(ValueError, match="guider of 0 blocks"):
        make_guided({"num_layers": 0})
    assert isinstance(guider_of(make_guided()), Guider)


@torch.no_grad()
def test_streams_are_refused():
    model = VideoTransformer(**TINY, vace_layers=[0], vace_in_channels=CONTROL, causal={"chunk": 3})
    with pytest.raises(ValueError, match="not parts of a stream"):
        model(**vace_inputs(), cache=KVCache())
