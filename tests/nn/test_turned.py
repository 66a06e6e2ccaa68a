"""Queries and keys at rotary positions have the gradients that autograd gives."""

import pytest
import torch

from ar_lightning.nn.kernels.turned import Turned, split, turned
from ar_lightning.nn.rotary import for_heads, rotate, turns


@pytest.mark.parametrize("examples", [(), (2,)], ids=["one way", "a way for each example"])
def test_gradients_are_those_of_autograd(examples: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(2, 5, 3, 4, 6).double()
    turn = for_heads(turns(torch.randint(9, (*examples, 5, 2, 1)).flatten(0, -2).double(), 6, 100.0).view(
        *examples, 5, 2, 1, 3, 2
    ), 4)  # fmt: skip
    grads = torch.randn(3, 2, 4, 5, 6).double()
    found = []
    for way in (Turned.apply, split):
        read = qkv.clone().requires_grad_()
        parts = way(read, turn)
        torch.autograd.backward(parts, tuple(grads))
        found.append((*(p.detach() for p in parts), read.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.allclose(found[0][0], found[0][1])


def test_the_kernel_is_taken_where_gradients_are_wanted_and_features_pair_up() -> None:
    turn = {d: for_heads(turns(torch.arange(5.0)[:, None], d, 100.0)[:, None, None], 4) for d in (6, 7)}
    for d, wanted in ((6, True), (6, False), (7, True)):
        qkv = torch.randn(2, 5, 3, 4, d, requires_grad=wanted)
        q, k, v = turned(qkv, turn[d])
        torch.testing.assert_close(q, rotate(qkv[:, :, 0].transpose(1, 2), turn[d][None, :, 0].transpose(1, 2)))
        torch.testing.assert_close(k, rotate(qkv[:, :, 1].transpose(1, 2), turn[d][None, :, 1].transpose(1, 2)))
        assert v.shape == (2, 4, 5, d)
        assert (type(q.grad_fn).__name__ == "TurnedBackward") == (wanted and d == 6)
