"""`torch.nn.Linear` for long lists of rows: on a CPU a convolution, which may be faster than a matrix product.

PyTorch multiplies float32 matrices with MKL, which is slow on some processors, and convolves with oneDNN, which is
fast on more of them. The rows are read as an image of one row of pixels, channels last, so that nothing is copied.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["RowsLinear"]

LARGE = 20480  # numbers from which PyTorch gives the convolution of a single image to oneDNN


class RowsLinear(nn.Linear):
    """`torch.nn.Linear`, the reference, for inputs `(*sites, inputs)` of many sites."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(*sites, inputs)` to `(*sites, outputs)`."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.numel() <= LARGE:
            return super().forward(x)
        image = x.flatten(0, -2)[None, None].permute(0, 3, 1, 2)  # (1, inputs, 1, N)
        # A kernel of one tap is the same for any dilation, but with 1 a single thread would not be given to oneDNN.
        maps = F.conv2d(image, self.weight[:, :, None, None], self.bias, dilation=2)
        return maps.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)
