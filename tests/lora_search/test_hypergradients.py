"""Hypergradients on problems whose answers are known in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vision.lora import hypergradient

GATES, WEIGHTS = 4, 6


class Quadratic:
    """f = w'Hw/2 + w'Pa + w'c and phi = |w - u|^2_M/2 + |a - v|^2/2 + a'Rw; a and w in two pieces each."""

    def __init__(self, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        root, other = normal(WEIGHTS, WEIGHTS), normal(WEIGHTS, WEIGHTS)
        self.hessian = root @ root.T + torch.eye(WEIGHTS)
        self.metric = other @ other.T + torch.eye(WEIGHTS)
        self.mixed, self.cross = normal(WEIGHTS, GATES), normal(GATES, WEIGHTS)
        self.linear, self.u, self.v = normal(WEIGHTS), normal(WEIGHTS), normal(GATES)
        self.gates = [normal(1).requires_grad_(), normal(GATES - 1).requires_grad_()]
        self.weights = [normal(2, 2).requires_grad_(), normal(WEIGHTS - 4).requires_grad_()]

    @property
    def a(self) -> Tensor:
        return torch.cat(self.gates)

    @property
    def w(self) -> Tensor:
        return torch.cat([weight.flatten() for weight in self.weights])

    def lower(self, w: Tensor | None = None, a: Tensor | None = None) -> Tensor:
        w, a = self.w if w is None else w, self.a if a is None else a
        return w @ self.hessian @ w / 2 + w @ self.mixed @ a + w @ self.linear

    def upper(self, w: Tensor | None = None, a: Tensor | None = None) -> Tensor:
        w, a = self.w if w is None else w, self.a if a is None else a
        return (
            (w - self.u) @ self.metric @ (w - self.u) / 2
            + (a - self.v).square().sum() / 2
            + a @ self.cross @ w
        )

    def best(self, a: Tensor) -> Tensor:
        return -torch.linalg.solve(self.hessian, self.mixed @ a + self.linear)

    def to_best(self) -> None:
        values = self.best(self.a.detach())
        with torch.no_grad():
            for weight, value in zip(self.weights, values.split([4, 2]), strict=True):
                weight.copy_(value.view(weight.shape))

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of phi and f with respect to a and w, written out."""
        a, w = self.a.detach(), self.w.detach()
        return (
            a - self.v + self.cross @ w,
            self.metric @ (w - self.u) + self.cross.T @ a,
            self.mixed.T @ w,
            self.hessian @ w + self.mixed @ a + self.linear,
        )

    def ask(self, mode: str, upper: Tensor | None = None, lower: Tensor | None = None, **options) -> Tensor:
        upper, lower = self.upper() if upper is None else upper, self.lower() if lower is None else lower
        found = hypergradient(upper, lower, self.gates, self.weights, mode, **options)  # pyright: ignore
        assert [f.shape for f in found] == [gate.shape for gate in self.gates]
        assert all(tensor.grad is None for tensor in [*self.gates, *self.weights])
        return torch.cat(found)


seeds = given(st.integers(0, 10_000))
few = settings(max_examples=15, deadline=None)


@seeds
@few
def test_first_order_is_the_gradient_of_the_upper_loss(seed: int):
    problem = Quadratic(seed)
    torch.testing.assert_close(problem.ask("first_order"), problem.parts()[0], rtol=0, atol=1e-11)


@seeds
@few
def test_rank_one_is_equation_7_and_its_multiplier_leaves_no_descent(seed: int):
    problem = Quadratic(seed)
    upper_a, upper_w, lower_a, lower_w = problem.parts()
    multiplier = -(upper_w @ lower_w) / (lower_w @ lower_w)
    torch.testing.assert_close(
        problem.ask("rank_one"), upper_a + multiplier * lower_a, rtol=1e-10, atol=1e-10
    )
    assert abs((upper_w + multiplier * lower_w) @ lower_w) < 1e-9 * upper_w.norm() * lower_w.norm()


@seeds
@few
def test_rank_one_is_zero_where_both_losses_are_one(seed: int):
    problem = Quadratic(seed)
    loss = problem.upper()
    assert problem.ask("rank_one", loss, loss).abs().max() <= 1e-12 * max(1.0, problem.parts()[0].norm())


@given(st.integers(0, 10_000), st.sampled_from([-1e4, -1.0, 1e-6, 0.3, 50.0, 1e6]))
@few
def test_rank_one_does_not_depend_on_the_scale_of_the_lower_loss(seed: int, factor: float):
    problem = Quadratic(seed)
    scaled = problem.ask("rank_one", lower=factor * problem.lower())
    torch.testing.assert_close(scaled, problem.ask("rank_one"), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["first_order", "rank_one", "cg"])
@seeds
@few
def test_each_mode_is_linear_in_the_upper_loss(mode: str, seed: int):
    problem = Quadratic(seed)
    first, second = problem.upper(), problem.w.sin().sum() + problem.a.square().sum()
    together = problem.ask(mode, 2 * first - 3 * second)
    apart = 2 * problem.ask(mode, first) - 3 * problem.ask(mode, second)
    torch.testing.assert_close(together, apart, rtol=1e-8, atol=1e-8)


@seeds
@few
def test_rank_one_is_exact_where_the_lower_loss_has_one_residual(seed: int):
    """f = (p.w + q.a - c)^2 / 2: the weights follow along p alone, by -q / |p|^2 p."""
    problem = Quadratic(seed)
    p, q = problem.linear, problem.v
    residual = p @ problem.w + q @ problem.a - 0.7
    upper_a, upper_w = problem.parts()[:2]
    exact = upper_a - (upper_w @ p) / (p @ p) * q
    torch.testing.assert_close(problem.ask("rank_one", lower=residual**2 / 2), exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-6])
def test_rank_one_stays_bounded_near_the_minimum_of_the_lower_loss(distance: float):
    problem = Quadratic(1)
    problem.to_best()
    with torch.no_grad():
        problem.weights[0] += distance
    upper_a, upper_w, lower_a, _ = problem.parts()
    implicit = problem.ask("rank_one") - upper_a
    assert implicit.isfinite().all()
    # |lambda| <= 10 |grad phi| / |grad f|, and grad_a f is a part of grad f.
    assert implicit.norm() <= 10.001 * torch.cat([upper_a, upper_w]).norm()
    assert lower_a.norm() > 0.1, "so that lambda without a bound would be without end"


def test_rank_one_falls_back_where_the_weights_have_no_gradient():
    problem = Quadratic(2)
    upper_a = problem.parts()[0]
    only_gates = problem.a.square().sum()
    assert torch.equal(problem.ask("rank_one", lower=only_gates), problem.ask("first_order"))
    torch.testing.assert_close(problem.ask("rank_one", lower=only_gates), upper_a)
    tiny = Quadratic(2)
    for tensor in [*tiny.gates, *tiny.weights]:
        tensor.data = tensor.data.float()
    small = hypergradient(
        tiny.w.sum() + tiny.a.sum(),
        1e-30 * (tiny.w.sum() + tiny.a.sum()),
        tiny.gates,
        tiny.weights,
        "rank_one",
    )
    assert all(value.isfinite().all() for value in small)


@seeds
@few
def test_conjugate_gradients_give_the_exact_inverse(seed: int):
    problem = Quadratic(seed)
    upper_a, upper_w = problem.parts()[:2]
    exact = upper_a - problem.mixed.T @ torch.linalg.solve(problem.hessian, upper_w)
    torch.testing.assert_close(problem.ask("cg"), exact, rtol=1e-8, atol=1e-8)
    # In exact arithmetic as many products as weights suffice.
    torch.testing.assert_close(problem.ask("cg", cg_steps=WEIGHTS + 3), exact, rtol=1e-6, atol=1e-6)


@seeds
@few
def test_conjugate_gradients_agree_with_differences_of_the_nested_problem(seed: int):
    problem = Quadratic(seed)
    problem.to_best()
    a, step = problem.a.detach(), 1e-5
    differences = [
        (problem.upper(problem.best(a + e), a + e) - problem.upper(problem.best(a - e), a - e)) / (2 * step)
        for e in step * torch.eye(GATES, dtype=torch.float64)
    ]
    torch.testing.assert_close(problem.ask("cg"), torch.stack(differences), rtol=1e-6, atol=1e-6)


def test_damping_is_added_to_the_diagonal():
    problem = Quadratic(3)
    upper_a, upper_w = problem.parts()[:2]
    damped = problem.hessian + 0.5 * torch.eye(WEIGHTS, dtype=torch.float64)
    exact = upper_a - problem.mixed.T @ torch.linalg.solve(damped, upper_w)
    torch.testing.assert_close(problem.ask("cg", damping=0.5), exact, rtol=1e-8, atol=1e-8)


def test_conjugate_gradients_end_where_the_lower_loss_curves_down():
    problem = Quadratic(4)
    torch.testing.assert_close(problem.ask("cg", lower=-problem.lower()), problem.parts()[0])
    linear = problem.w.sum() + problem.a.sum()
    torch.testing.assert_close(problem.ask("cg", lower=linear), problem.parts()[0])


class Once(torch.autograd.Function):
    """A square whose derivative has none."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * grad * ctx.saved_tensors[0]


def test_mistakes_are_named():
    problem = Quadratic(5)
    with pytest.raises(ValueError, match="hypergradient 'exact' does not exist; use one of rank_one"):
        problem.ask("exact")
    with pytest.raises(ValueError, match="1 of the 3 gates are also among the weights"):
        hypergradient(problem.upper(), problem.lower(), [*problem.gates, problem.weights[0]], problem.weights)
    with pytest.raises(ValueError, match="found 0 gates and 2 weights"):
        hypergradient(problem.upper(), problem.lower(), [], problem.weights)
    with pytest.raises(ValueError, match="upper_loss has no graph"):
        problem.ask("rank_one", problem.upper().detach())
    with pytest.raises(ValueError, match=r"lower_loss has the shape \(6,\)"):
        problem.ask("rank_one", lower=problem.w**2)
    with pytest.raises(ValueError, match="which a layer of the network does not offer"):
        problem.ask("cg", lower=Once.apply(problem.w + 1).sum())  # pyright: ignore


@pytest.mark.parametrize("mode", ["first_order", "rank_one", "cg"])
def test_tensors_may_come_one_by_one(mode: str):
    problem = Quadratic(4)
    found = hypergradient(problem.upper(), problem.lower(), iter(problem.gates), iter(problem.weights), mode)  # pyright: ignore
    torch.testing.assert_close(torch.cat(found), problem.ask(mode))


@pytest.mark.parametrize("mode", ["first_order", "rank_one", "cg"])
def test_a_tensor_without_gradient_is_named(mode: str):
    problem = Quadratic(4)
    upper, lower = problem.upper(), problem.lower()
    still = [torch.zeros(3, 5)]
    for gates, weights in ((still, problem.weights), (problem.gates, [*problem.weights, *still])):
        with pytest.raises(ValueError, match=r"have no gradient, one of shape \(3, 5\); set requires_grad"):
            hypergradient(upper, lower, gates, weights, mode)  # pyright: ignore[reportArgumentType]
