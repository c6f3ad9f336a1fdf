"""The algebra of action guidance."""

import torch

from vision.world.guidance import guide_actions, guide_prompt_and_actions


def test_action_guidance_is_a_line_through_its_two_velocities():
    null, acted = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert torch.equal(guide_actions(null, acted, 0.0), null)
    assert torch.equal(guide_actions(null, acted, 1.0), acted)
    # Linear in the scale: equal steps, also beyond 1.
    steps = torch.stack([guide_actions(null, acted, scale) for scale in (0.0, 1.5, 3.0)]).diff(dim=0)
    torch.testing.assert_close(steps[0], steps[1])
    torch.testing.assert_close(steps[0], 1.5 * (acted - null))
    for scale in (0.0, 0.3, 1.0, 4.0):
        assert torch.equal(guide_actions(null, null, scale), null)


def test_prompt_and_action_are_guided_apart():
    negative, positive, acted = torch.randn(3, 2, 5)
    torch.testing.assert_close(guide_prompt_and_actions(negative, positive, acted, 1.0, 1.0), acted)
    torch.testing.assert_close(guide_prompt_and_actions(negative, positive, acted, 1.0, 0.0), positive)
    torch.testing.assert_close(guide_prompt_and_actions(negative, positive, acted, 0.0, 0.0), negative)
    # An action that changes nothing leaves classifier-free guidance of the prompt, at any scale.
    plain = negative + 5 * (positive - negative)
    torch.testing.assert_close(guide_prompt_and_actions(negative, positive, positive, 5.0, 3.0), plain)
    # Without a prompt to follow, guidance of the action alone remains.
    torch.testing.assert_close(
        guide_prompt_and_actions(positive, positive, acted, 5.0, 3.0), guide_actions(positive, acted, 3.0)
    )
