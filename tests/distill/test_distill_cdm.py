"""The method as the loop calls it: invariants 2, 6, 8, 11, 13, 14, 15 and 18."""

import copy
from typing import Any

import pytest
import torch
from cdm_reference import (
    BATCH,
    WEIGHTS,
    ReferenceIteration,
    compare,
    draws,
    only,
    recorded,
    student_gradient,
)
from torch import nn
from toy_denoisers import SHAPE, assert_all_close, cdm, prompts, renoise, tiny_denoiser

from train.ema import MovingAverage
from train.methods.cdm import CDM
from vision.flow.draws import Draws


def test_invariant_18_a_fixed_grid_and_matching_alone_are_plain_dmd():
    grid = [1.0, 0.75, 0.5, 0.25]
    method = cdm(fixed_grid=grid, **only("weight_matching"))
    shifted = [1.0, 0.9, 0.75, 0.5]
    reference = ReferenceIteration(method, shifted)
    assert len(set(reference.index)) > 1
    compare(method, "student", reference.matching(reference.x, reference.sigma, "matching"))
    # On the trajectory, the off-trajectory loss is a second draw of the same DMD.
    method = cdm(fixed_grid=grid, student_input="trajectory_xt", **only("weight_off_trajectory"))
    reference = ReferenceIteration(method, shifted)
    second = reference.matching(reference.x, reference.sigma, "off-trajectory teacher")
    compare(method, "student", second)


def test_the_published_losses_are_those_of_the_formulas():
    method = cdm()
    grid = method._schedule(draws())[:-1]
    reference = ReferenceIteration(method, grid)
    matching = reference.matching(reference.x, reference.sigma, "matching")
    expected = reference.guidance() + matching + reference.off_trajectory()
    compare(method, "student", expected)
    compare(method, "fake", reference.fake())


@pytest.mark.parametrize("weight", WEIGHTS)
def test_weights_scale_their_loss(weight):
    one = student_gradient(cdm(**only(weight)))
    twice = student_gradient(cdm(**{name: 2 * value for name, value in only(weight).items()}))
    assert any(g.abs().max() > 0 for g in one)
    assert_all_close(twice, [2 * g for g in one])


def test_double_matching_adds_an_independent_draw():
    method = cdm(double_matching=True, **only("weight_matching"))
    reference = ReferenceIteration(method, method._schedule(draws())[:-1])
    pair = [reference.matching(reference.x, reference.sigma, p) for p in ("matching", "second matching")]
    assert pair[0] != pair[1]
    compare(method, "student", pair[0] + pair[1])


def test_invariant_2_gradients_reach_the_trained_network_alone():
    method = cdm()
    simulation = method._simulate(prompts(BATCH), draws())
    x, sigma = method._off_trajectory_input(simulation, draws())
    anchor = simulation.anchor
    for tensor in (anchor.x, anchor.velocity, anchor.sigma, anchor.x0, x, sigma):
        assert not tensor.requires_grad

    thunks = method.losses(prompts(BATCH), draws())
    for name, idle in (("fake", "student"), ("student", "fake")):
        for network in method.networks.values():
            network.zero_grad()
        thunks[name]().value.backward()
        assert all(p.grad is not None for p in method.networks[name].parameters())
        assert all(p.grad is None for p in method.networks[idle].parameters())
        assert all(p.grad is None and not p.requires_grad for p in method.frozen["teacher"].parameters())


def test_rollout_and_frozen_calls_are_in_evaluation_mode():
    method = cdm()
    thunks = method.losses(prompts(BATCH), draws())
    for thunk in thunks.values():
        thunk()
    for name in ("student", "fake", "teacher"):
        for call in recorded(method, name).calls:
            assert call.training == call.with_gradient
    assert method.networks["student"].training and method.networks["fake"].training
    assert sum(call.with_gradient for call in recorded(method, "student").calls) == 1


def test_invariant_6_equal_scores_push_nowhere():
    """Fake and teacher of one seed: DM and CDM are exactly 0; the null prompt for all: CA is."""
    for weight in ("weight_matching", "weight_off_trajectory"):
        method = cdm(seeds=(0, 2, 2), **only(weight))
        loss = method.losses(prompts(BATCH), draws())["student"]()
        assert loss.value == 0
        assert all(torch.equal(g, torch.zeros_like(g)) for g in student_gradient(method))
        assert any(g.abs().max() > 0 for g in student_gradient(cdm(seeds=(0, 1, 2), **only(weight))))

    method = cdm(**only("weight_guidance"))
    null = {"prompt": torch.zeros_like(prompts(BATCH)["prompt"])}
    # Both halves of one batched call: the same numbers up to the order of a matrix product's sums.
    assert method.losses(null, draws())["student"]().value < 1e-9
    assert method.losses(prompts(BATCH), draws())["student"]().value > 1e-4


def test_invariant_8_time_laws():
    method = cdm()
    anchors, inputs, taus = [], [], {"guidance": [], "matching": [], "off": []}
    for step in range(1, 200, 2):
        for denoiser in (recorded(method, "student"), recorded(method, "teacher")):
            denoiser.calls.clear()
        method.losses(prompts(BATCH), draws(step))["student"]()
        student_call = recorded(method, "student").calls[-1]
        sigma, s = student_call.t.split(BATCH)
        anchors.append(sigma)
        inputs.append(s)
        guidance, matching, off = recorded(method, "teacher").calls
        assert torch.equal(*guidance.t.split(BATCH)) and torch.equal(*guidance.x.split(BATCH))
        assert torch.equal(guidance.prompt[BATCH:], torch.zeros(BATCH, 3))
        taus["guidance"].append(guidance.t[:BATCH])
        taus["matching"].append(matching.t)
        taus["off"].append(off.t)

    sigma, s = torch.cat(anchors), torch.cat(inputs)
    times = {name: torch.cat(values) for name, values in taus.items()}
    assert (times["guidance"] <= sigma.clamp(min=0.02)).all()
    for values in (s, *times.values()):
        assert values.min() >= 0.02 and values.max() <= 0.98
    limit = 4 / len(s) ** 0.5  # of a correlation of independent draws
    for one, other in ((s, sigma), (times["matching"], sigma), (times["off"], s), (times["off"], sigma)):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < limit
    assert (s > sigma).any() and (s < sigma).any()
    assert torch.corrcoef(torch.stack([times["guidance"], sigma]))[0, 1] > limit


def test_invariant_11_the_fake_learns_the_prediction_of_the_students_own_anchor():
    method = cdm()
    condition = prompts(BATCH)
    simulation = method._simulate(condition, draws())
    anchor = simulation.anchor
    # The student's call of the losses is at the same points, and predicts there what the fake learns.
    method.losses(condition, draws())["student"]()
    call = recorded(method, "student").calls[-1]
    assert torch.equal(call.x[:BATCH], anchor.x) and torch.equal(call.t[:BATCH], anchor.sigma)
    with torch.no_grad():
        v = method.student.velocity(anchor.x, anchor.sigma, condition)
    torch.testing.assert_close(anchor.velocity, v)
    torch.testing.assert_close(
        anchor.x0, torch.stack([x - s * v for x, s, v in zip(anchor.x, anchor.sigma, v, strict=True)])
    )
    # The fake's input is y re-noised: at time t its noise is the same as in the target.
    fake_draws = draws()
    t, noise = (
        fake_draws.uniform("fake time", BATCH).clamp(0.02, 0.98),
        fake_draws.normal("fake", anchor.x.shape),
    )
    method.losses(condition, fake_draws)["fake"]()
    fake_call = recorded(method, "fake").calls[-1]
    torch.testing.assert_close(fake_call.x, renoise(anchor.x0, noise, t))


def test_the_rollout_is_shared_and_ends_at_the_last_anchor_of_all_processes():
    shares = []
    for first in (0, 3):  # two processes, three samples each
        method = cdm(max_rollout_steps=12, sigma_low=0.05, sigma_high=0.98)
        student = recorded(method, "student")
        lengths = []
        for step in range(1, 40, 2):
            student.calls.clear()
            thunks = method.losses(prompts(3), Draws(7, step, first, 6, rank=first // 3))
            for thunk in thunks.values():
                thunk()
            walked = [call for call in student.calls if not call.with_gradient]
            assert len(student.calls) == len(walked) + 1
            index = Draws(7, step, 0, 6).integers("anchor", 6, len(method._schedule(draws(step))) - 1)
            assert len(walked) == index.max() + 1
            lengths.append(len(walked))
        shares.append(lengths)
    assert shares[0] == shares[1]
    assert len(set(shares[0])) > 4


def test_invariant_13_one_forward_gives_the_gradient_of_two():
    merged = student_gradient(cdm(weight_off_trajectory=0.0))
    separate = zip(
        student_gradient(cdm(**only("weight_guidance"))),
        student_gradient(cdm(**only("weight_matching"))),
        strict=True,
    )
    assert_all_close(merged, [ca + dm for ca, dm in separate], rtol=1e-5, atol=1e-6)
    whole = student_gradient(cdm())
    off = student_gradient(cdm(**only("weight_off_trajectory")))
    assert_all_close(whole, [a + b for a, b in zip(merged, off, strict=True)], rtol=1e-5, atol=1e-6)


def test_invariant_14_cadence():
    method = cdm(max_rollout_steps=3)
    assert list(method.networks) == ["fake", "student"]
    optimizers = {n: torch.optim.SGD(net.parameters(), lr=0.1) for n, net in method.networks.items()}
    updates = {"fake": 0, "student": 0}
    for step in range(7):
        thunks = method.losses(prompts(BATCH), draws(step))
        assert list(thunks) == method.due(step)
        for name, thunk in thunks.items():
            others = {n: copy.deepcopy(net.state_dict()) for n, net in method.networks.items() if n != name}
            optimizers[name].zero_grad()
            thunk().value.backward()
            optimizers[name].step()
            method.updated(name)
            updates[name] += 1
            for other, before in others.items():
                after = method.networks[other].state_dict()
                assert all(torch.equal(before[key], after[key]) for key in before)
    assert updates == {"fake": 7, "student": 3}


def test_the_students_loss_sees_the_fakes_update():
    """It is computed when it is asked for: a fake score changed in between changes it."""
    values = []
    for change in (False, True):
        method = cdm(**only("weight_matching"))
        thunks = method.losses(prompts(BATCH), draws())
        thunks["fake"]()
        if change:
            with torch.no_grad():
                for parameter in method.networks["fake"].parameters():
                    parameter.mul_(0.5)
        values.append(thunks["student"]().value.item())
    assert values[0] != values[1]


def test_invariant_14_the_fake_follows_the_student():
    method = cdm(fake_merge=0.9)
    student, fake = method.networks["student"], method.networks["fake"]
    start = [(p - q).detach() for p, q in zip(fake.parameters(), student.parameters(), strict=True)]
    fixed = copy.deepcopy(student.state_dict())
    for _ in range(5):
        method.updated("fake")
    for before, p, q in zip(start, fake.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close((p - q).detach(), 0.9**5 * before, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(fixed[key], value) for key, value in student.state_dict().items())

    equal = cdm(seeds=(0, 0, 2))
    equal.updated("fake")
    assert_all_close(
        equal.networks["fake"].parameters(), equal.networks["student"].parameters(), rtol=0, atol=0
    )
    unmerged = cdm(fake_merge=1.0)
    before = copy.deepcopy(unmerged.networks["fake"].state_dict())
    unmerged.updated("fake")
    assert all(
        torch.equal(before[key], value) for key, value in unmerged.networks["fake"].state_dict().items()
    )


def test_invariant_15_moving_average():
    parameter = torch.zeros(3)
    average = MovingAverage({"w": parameter}, 0.999)
    average.update({"w": parameter}, 1)
    assert torch.equal(average.weights["w"], parameter)  # a constant is a fixed point
    for k, decay in ((1, 2 / 11), (1000, 1001 / 1010), (8989, 8990 / 8999), (8990, 0.999), (10**6, 0.999)):
        average = MovingAverage({"w": torch.zeros(3)}, 0.999)
        average.update({"w": torch.ones(3)}, k)
        torch.testing.assert_close(average.weights["w"], torch.full((3,), 1 - decay), rtol=1e-4, atol=0)


INPUTS = ["trajectory_eps", "trajectory_xt", "fresh", "trajectory_eps_last"]
BASES = ["student_pred", "x0_final", "x0_next"]
TEACHER_INPUTS = ["fresh_independent", "fresh_shared_t", "share_student"]


@pytest.mark.parametrize("student_input", INPUTS)
@pytest.mark.parametrize("teacher_base", BASES)
@pytest.mark.parametrize("teacher_input", TEACHER_INPUTS)
def test_options_of_the_off_trajectory_loss(student_input, teacher_base, teacher_input):
    """What the student and the teacher are asked at, for each combination of the released code's options."""
    method = cdm(
        student_input=student_input,
        teacher_base=teacher_base,
        teacher_input=teacher_input,
        fixed_grid=[1.0, 0.75, 0.5, 0.25],
        **only("weight_off_trajectory"),
    )
    reference = ReferenceIteration(method, [1.0, 0.9, 0.75, 0.5])
    method.losses(prompts(BATCH), draws())["student"]().value.backward()
    student, teacher = recorded(method, "student").calls, recorded(method, "teacher").calls
    assert len(teacher) == 1 and len(recorded(method, "fake").calls) == 1
    x, s = student[-1].x, student[-1].t
    anchor_x0 = torch.stack([reference.x[b] - reference.sigma[b] * reference.v[b] for b in range(BATCH)])
    last = student[3]
    with torch.no_grad():
        final = reference.predict("student", last.x, last.t)

    s_drawn = draws().uniform("off-trajectory input time", BATCH).clamp(0.02, 0.98)
    if student_input == "trajectory_xt":
        torch.testing.assert_close((x, s), (reference.x, reference.sigma))
    else:
        torch.testing.assert_close(s, s_drawn)
    if student_input == "fresh":
        base = final if teacher_base == "x0_final" else anchor_x0
        torch.testing.assert_close(x, reference.noised(base, "off-trajectory input", s))
    if student_input == "trajectory_eps_last":
        stride = (s - last.t).reshape(-1, 1, 1, 1, 1)
        torch.testing.assert_close(x, last.x + stride * reference.call("student", last.x, last.t).detach())

    if teacher_input == "share_student":
        torch.testing.assert_close((teacher[0].x, teacher[0].t), (x, s))
        return
    fresh = reference.time("off-trajectory teacher").clamp(0.02, 0.98)
    tau = s if teacher_input == "fresh_shared_t" else fresh
    torch.testing.assert_close(teacher[0].t, tau)
    prediction = reference.predict("student", x, s).detach()
    base = {"student_pred": prediction, "x0_final": final, "x0_next": anchor_x0}[teacher_base]
    torch.testing.assert_close(teacher[0].x, reference.noised(base, "off-trajectory teacher", tau))


def test_only_the_rollout_to_its_last_anchor_is_walked_unless_its_end_is_asked_for():
    cases: list[tuple[dict[str, Any], bool]] = [({}, False), ({"teacher_base": "x0_final"}, True)]
    for options, whole in cases:
        method = cdm(**options)
        lengths = []
        for step in range(12):
            student = recorded(method, "student")
            student.calls.clear()
            simulation = method._simulate(prompts(2), Draws(0, step, 0, 2))
            lengths.append(len(simulation.rollout.sigmas) - 1 - len(student.calls))
            assert not whole or torch.equal(simulation.rollout.final, simulation.rollout.states[-1])
        assert (max(lengths) == 0) == whole


def test_time_laws_are_options():
    capped = cdm(off_trajectory_time_law="uniform_capped", matching_time_law="uniform_capped")
    fake_capped = cdm(fake_time_law="uniform_capped")
    normal = cdm(fake_time_law="logit_normal")
    for step in range(1, 20, 2):
        capped.losses(prompts(BATCH), draws(step))["student"]()
        sigma, s = recorded(capped, "student").calls[-1].t.split(BATCH)
        _, matching, off = recorded(capped, "teacher").calls[-3:]
        assert (s <= sigma.clamp(min=0.02)).all()
        assert (matching.t <= sigma.clamp(min=0.02)).all() and (off.t <= s.clamp(min=0.02)).all()

        sigma = fake_capped._simulate(prompts(BATCH), draws(step)).anchor.sigma
        fake_capped.losses(prompts(BATCH), draws(step))["fake"]()
        assert (recorded(fake_capped, "fake").calls[-1].t <= sigma.clamp(min=0.02)).all()

        normal.losses(prompts(BATCH), draws(step))["fake"]()
        u = draws(step).uniform("fake time", BATCH).double()
        expected = torch.sigmoid(torch.special.ndtri(u)).float().clamp(0.02, 0.98)
        torch.testing.assert_close(recorded(normal, "fake").calls[-1].t, expected)


def test_the_shift_of_the_settings_has_precedence():
    method = cdm(shift=3.0, fixed_grid=[1.0, 0.5])
    assert method._schedule(draws()) == [1.0, 0.75, 0.0]
    settings = method._settings.model_copy(update={"shift": 1.0})
    networks = (tiny_denoiser(seed) for seed in range(3))
    own = CDM(*networks, settings=settings, null_condition={}, latent_shape=SHAPE, shift=3.0)
    assert own._schedule(draws()) == [1.0, 0.5, 0.0]


def test_a_fake_that_cannot_follow_the_student_is_an_error():
    student, fake, teacher = (tiny_denoiser(seed) for seed in range(3))
    fake.network = nn.Sequential(nn.Linear(2, 2))
    method = cdm()
    arguments = {
        "settings": method._settings,
        "null_condition": method._null_condition,
        "latent_shape": SHAPE,
    }
    with pytest.raises(ValueError, match="both whole or both with the same adapter"):
        CDM(student, fake, teacher, **arguments)


def test_a_batch_without_prompts_is_an_error():
    with pytest.raises(ValueError, match="no condition"):
        cdm().losses({}, draws())["fake"]()


def test_the_loop_may_wrap_the_networks():
    method = cdm()
    plain = student_gradient(method)

    class Wrapped(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *arguments):
            return self.module(*arguments)

    method = cdm()
    method.networks = {name: Wrapped(network) for name, network in method.networks.items()}
    assert_all_close(student_gradient(method), plain, rtol=0, atol=0)
    names = len(list(method.networks["fake"].parameters()))
    assert len(method._merged_parameters()) == names
