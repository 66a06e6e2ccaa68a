"""The kernel of RMSNorm is PyTorch's, with the same gradients."""

import torch
from torch import nn

from ar_lightning.nn.kernels.rms_norm import RMSNorm


def test_outputs_and_gradients_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    ours, theirs = RMSNorm(12, eps=1e-6).double(), nn.RMSNorm(12, eps=1e-6).double()
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x, grad = torch.randn(2, 4, 12, 5).double().transpose(2, 3)
    gradients = []
    for norm in (ours, theirs):
        read = x.clone().requires_grad_()
        y = norm(read)
        y.backward(grad)
        gradients.append((y.detach(), read.grad, norm.weight.grad))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert gradients[0][2].abs().min() > 0


def test_outputs_are_those_of_pytorch_whatever_wants_a_gradient() -> None:
    torch.manual_seed(0)
    ours, theirs = RMSNorm(12, eps=1e-6).double(), nn.RMSNorm(12, eps=1e-6).double()
    nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 12).double()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
    y = ours(x)  # as of features that are frozen: the weight alone has a gradient
    torch.testing.assert_close(y, theirs(x))
    y.sum().backward()
    theirs(x).sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
