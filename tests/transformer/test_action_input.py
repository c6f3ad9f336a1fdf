"""Which rows of actions a latent frame sees, the null action, and what is refused."""

import pytest
import torch
from tiny_actions import action_module, make_acting, make_actions, make_video, module_context, streams
from tiny_transformers import make_tiny

from vision.transformer import ActionInput, Actions, rows_needed
from vision.transformer.action_input import windows

# Rows that the window of a latent frame holds, oldest first.
TABLE = {
    0: [0] * 16,
    1: [0] * 12 + [0, 1, 2, 3],
    2: [0] * 8 + list(range(8)),
    3: [0] * 4 + list(range(12)),
    4: list(range(16)),
    6: list(range(8, 24)),
}


def test_window_table():
    # Lane a of row t holds 10 t + a.
    sticks = 10.0 * torch.arange(25).view(1, 25, 1) + torch.arange(4)
    model = make_acting()
    context = module_context(model, (7, 1, 1), {"sticks": sticks})
    seen = windows(context.conditions["stick_rows"])[0].unflatten(-1, (16, 4))
    assert seen.shape[0] == 7
    for frame, rows in TABLE.items():
        assert torch.equal(seen[frame], sticks[0, rows]), frame


@torch.no_grad()
def test_a_frame_alone_depends_on_its_window_only():
    # With attention to itself alone, what a latent frame takes from the rows is its own window.
    model, x, actions = make_acting(null_key=True), torch.randn(1, 7, 48), make_actions(7, batch=1)
    alone = torch.eye(7, dtype=torch.bool)

    def run() -> torch.Tensor:
        return action_module(model)(x, module_context(model, (7, 1, 1), streams(actions), mask=alone))

    before = run()
    for row in (0, 1, 7, 12, 23, 24):
        for stream in (actions.sticks, actions.buttons):
            stream[:, row] += 1
            changed = (run() - before).abs().amax(dim=(0, 2)) > 1e-7
            stream[:, row] -= 1
            expected = [row in {max(0, 4 * i - back) for back in range(1, 17)} for i in range(7)]
            assert changed.tolist() == expected, row


@pytest.mark.parametrize("kind", ["action", "action_adaln"])
@torch.no_grad()
def test_dropped_samples_get_the_null_action(kind):
    model, video, actions = make_acting(kind), make_video(3), make_actions(3)
    shared = model.condition_inputs["actions"]
    assert isinstance(shared, ActionInput) and shared.null.shape == (10,)
    dropped = torch.tensor([True, False])
    output = model(**video, actions=actions, action_dropped=dropped).sample
    plain = model(**video, actions=actions).sample
    torch.testing.assert_close(output[1], plain[1])
    # The null action is one row of both streams, held over the clip.
    null = shared.null.expand(2, 9, 10)
    held = model(**video, actions=Actions(null[..., :4], null[..., 4:])).sample
    torch.testing.assert_close(output[0], held[0])
    assert (output[0] - plain[0]).abs().max() > 1e-3
    # A whole batch without actions depends on no action.
    nothing = model(**video, actions=actions, action_dropped=torch.tensor([True, True])).sample
    torch.testing.assert_close(nothing, held)


def test_the_null_action_learns_from_dropped_samples_alone():
    model, video, actions = make_acting(), make_video(3), make_actions(3)
    null = model.condition_inputs["actions"].null
    for dropped, learns in (([False, False], False), ([True, False], True)):
        model.zero_grad()
        output = model(**video, actions=actions, action_dropped=torch.tensor(dropped)).sample
        output.square().mean().backward()
        assert (null.grad.abs() > 0).all() if learns else not null.grad.any()  # type: ignore
    model.zero_grad()
    model(**video, actions=actions, action_dropped=torch.tensor([True, False])).sample[1].sum().backward()
    assert not null.grad.any()  # type: ignore


@torch.no_grad()
def test_one_null_action_a_model_starts_at_zero():
    model = make_tiny()
    model.add_conditioning("action")
    model.add_conditioning("action_adaln", width=7)
    names = [name for name in model.state_dict() if "null" in name]
    assert names == ["condition_inputs.actions.null"]
    assert not model.state_dict()[names[0]].any()
    adaln = model.time_conditioning["action_adaln"]
    assert sum(p.numel() for p in adaln.parameters()) == 161 * 7 + 8 * 48
    model.condition_inputs["actions"].null.fill_(1.0)  # type: ignore[reportCallIssue]
    model.init_weights()
    assert not model.state_dict()[names[0]].any()


@pytest.mark.parametrize("groups", ["sample", "frame", "token"])
@torch.no_grad()
def test_modulation_reaches_its_frames(groups):
    model, video, actions = make_acting("action_adaln"), make_video(4), make_actions(4)
    time = 1000 * torch.rand(2)
    shapes = {"sample": time, "frame": time[:, None].expand(2, 4), "token": time[:, None].expand(2, 24)}
    expected = model(**{**video, "timestep": shapes["frame"]}, actions=actions).sample
    output = model(**{**video, "timestep": shapes[groups]}, actions=actions).sample
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_streams_by_name_are_the_actions():
    model, video, actions = make_acting(), make_video(3), make_actions(3)
    whole = model(**video, actions=actions).sample
    assert torch.equal(model(**video, sticks=actions.sticks, buttons=actions.buttons.double()).sample, whole)
    # Without the last row, which is never read.
    assert torch.equal(model(**video, actions=actions.rows(0, 8)).sample, whole)
    alone = model(**video, sticks=actions.sticks).sample
    assert not torch.allclose(alone, whole, atol=1e-3)


def test_rows_of_a_clip():
    assert rows_needed(21) == (80, 81)
    assert rows_needed(1) == (1, 1)
    assert rows_needed(6, before=8) == (12, 13)


def test_bad_actions_are_refused():
    rows = torch.zeros(2, 9, 6)
    with pytest.raises(ValueError, match=r"sticks have shape \(2, 9, 6\); expected .* left_x"):
        Actions(rows, rows)
    with pytest.raises(ValueError, match=r"buttons have shape \(9, 6\)"):
        Actions(rows[..., :4], rows[0])
    with pytest.raises(ValueError, match=r"\(2, 9\), buttons \(2, 8\)"):
        Actions(rows[..., :4], rows[:, :8])
    with pytest.raises(ValueError, match="buttons hold numbers that are not finite"):
        Actions(rows[..., :4], rows / 0)


def test_bad_conditions_are_refused():
    model, video, actions = make_acting(), make_video(3), make_actions(3)
    with pytest.raises(ValueError, match=r"sticks has 7 rows; 3 latent frames from number 0, .* take 8 or 9"):
        model(**video, actions=actions.rows(0, 7))
    with pytest.raises(ValueError, match=r"buttons has shape \(2, 9, 4\)"):
        model(**video, buttons=actions.sticks)
    with pytest.raises(ValueError, match=r"sticks has shape \(1, 9, 4\); expected \(2, rows, 4\)"):
        model(**video, sticks=actions.sticks[:1])
    with pytest.raises(ValueError, match=r"action_dropped has shape \(2, 1\)"):
        model(**video, actions=actions, action_dropped=torch.ones(2, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="actions is a tensor"):
        model(**video, actions=actions.sticks)
    with pytest.raises(ValueError, match="sticks came beside actions"):
        model(**video, actions=actions, sticks=actions.sticks)
    with pytest.raises(ValueError, match="action_dropped was given without actions"):
        model(**video, action_dropped=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"no condition called .*'actions'"):
        make_tiny()(**video, actions=actions)
    with pytest.raises(ValueError, match="one stream"):
        make_acting("action_adaln")(**video, sticks=actions.sticks)
