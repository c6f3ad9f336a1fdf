"""SCOPE's released names: Wan 2.2 TI2V with an action module in its blocks."""

import pytest
import torch
from tiny_actions import make_acting, make_actions, make_video

from vision.transformer import VideoTransformer

# What the release holds for each block, beside Wan's own parameters.
NAMES = [
    *(f"mouse_mlp.{layer}.{leaf}" for layer in (0, 2, 3) for leaf in ("weight", "bias")),
    *(f"mouse_attn.{layer}.{leaf}" for layer in "qkvo" for leaf in ("weight", "bias")),
    *(f"mouse_attn.norm_{layer}.weight" for layer in "qk"),
    *(f"keyboard_embed.{layer}.{leaf}" for layer in (0, 2) for leaf in ("weight", "bias")),
    *(f"keyboard_{layer}_proj.weight" for layer in ("q", "kv", "o")),
    *(f"key_attn_{layer}_norm.weight" for layer in "qk"),
]


def released(**options) -> tuple[VideoTransformer, dict[str, torch.Tensor]]:
    """A model as SCOPE's, whose null action was never trained, and its weights by their released names."""
    model = make_acting(**options)
    with torch.no_grad():
        model.condition_inputs["actions"].null.zero_()  # type: ignore[reportCallIssue]
    return model, model.to_original()


@torch.no_grad()
def test_released_weights_load_and_predict():
    model, state = released()
    theirs = {name for name in state if "action" in name}
    assert theirs == {f"blocks.{block}.action_attn.{name}" for block in range(2) for name in NAMES}
    again = VideoTransformer.from_original(state, num_attention_heads=2)
    assert again.config["conditioning"] == {"action": {}}
    assert again.state_dict().keys() == model.state_dict().keys()
    video, actions = make_video(4), make_actions(4)
    # The clean first frame is at time 0, all tokens of the others at one time.
    video["timestep"][:, 0] = 0
    expected = model(**video, actions=actions).sample
    assert torch.equal(again(**video, actions=actions).sample, expected)
    video["timestep"] = video["timestep"].repeat_interleave(6, dim=1)
    torch.testing.assert_close(again(**video, actions=actions).sample, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"blocks": [1]}, {"width": 48, "heads": 4}])
def test_settings_are_read_from_the_shapes(options):
    model, state = released(**options)
    again = VideoTransformer.from_original(state, num_attention_heads=options.get("heads", 2))
    assert again.config["conditioning"] == model.config["conditioning"] != {"action": {}}


def test_a_trained_null_action_is_kept():
    model = make_acting()
    state = model.to_original()
    assert state["action_null"].shape == (10,)
    again = VideoTransformer.from_original(state, num_attention_heads=2)
    assert torch.equal(again.state_dict()["condition_inputs.actions.null"], state["action_null"])


def test_what_the_release_cannot_say_is_refused():
    with pytest.raises(ValueError, match="parallel, which the original format cannot say"):
        make_acting(parallel=True).to_original()
    with pytest.raises(ValueError, match="null_key"):
        make_acting(null_key=True).to_original()
    _, state = released()
    del state["blocks.1.action_attn.keyboard_q_proj.weight"]
    with pytest.raises(ValueError, match=r"missing blocks\.1\.conditioning\.action\.buttons\.to_q\.weight"):
        VideoTransformer.from_original(state, num_attention_heads=2)
    # Two stick lanes, as Matrix-Game has them, are another module.
    _, state = released()
    narrow = state["blocks.0.action_attn.mouse_mlp.0.weight"][:, :-32]
    with pytest.raises(ValueError, match=r"mlp_in\.weight is \(48, 80\) where \(48, 112\)"):
        VideoTransformer.from_original(
            {**state, "blocks.0.action_attn.mouse_mlp.0.weight": narrow}, num_attention_heads=2
        )
