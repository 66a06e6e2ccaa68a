r"""Pixel Transformer: a decoder-only transformer over the values of an image, in raster order.

    h_t = read(x_{t-1}) + place of token t - 1 + place of token t,    a place: row + column + colour
    h += Attention(norm(h)),  h += MLP(norm(h))    in each of L layers,
    p(x_t | x_<t) = likelihood(out(norm(h_t)))

This is `transformer` with the norms and the places of its papers: LayerNorm, and learned embeddings alone.

Parmar et al., "Image Transformer", ICML 2018; Child et al., "Generating Long Sequences with Sparse Transformers", 2019,
whose position embeddings by row, column and colour these are; Chen et al., "Generative Pretraining from Pixels" (iGPT),
ICML 2020, for the layers: pre-norm, GELU, GPT-2's initialisation. A token is a value, or a pixel where the likelihood
models its colours jointly.

Deviations: attention is over the whole past, neither local (Image Transformer) nor strided (Sparse Transformer), so its
cost grows with the square of the tokens; values are read as numbers unless `likelihood.encoding=one_hot` embeds each
level, and there is no palette as in iGPT; initial weights are scaled to the width; a class is embedded in every token
when conditional. Published on CIFAR-10: 2.90 (Image Transformer) and 2.80 bits/dim (Sparse Transformer), not reproduced
here.
"""

import re
from typing import Any

from torch import nn

from ar_lightning.core.fields import Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import check_images
from ar_lightning.models.transformer import Transformer

__all__ = ["PixelTransformer"]

RENAMED = {  # since version 0.1, by what follows the name of the model in a checkpoint
    r"read\.(?!linear)": "read.linear.", r"position\.start": "places.nothing", r"position\.predicted": "places.here",
    r"position\.read": "places.came", r"(layers\.\d+\.mlp)\.0": r"\1.up", r"(layers\.\d+\.mlp)\.2": r"\1.down",
}  # fmt: skip


class PixelTransformer(Transformer):
    """Transformer over the values of an image in raster order; each sees its whole past.

    References:
        Parmar et al., Image Transformer (2018).
        Child et al., Generating Long Sequences with Sparse Transformers (2019).
        Chen et al., Generative Pretraining from Pixels (2020).

    Args:
        width: features of a token.
        layers: pairs of an attention and an MLP layer.
        heads: attention heads; divides width.
        dropout: probability of dropping a feature, of the tokens and of what each layer adds to them.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: the data are no images, or the heads do not divide the width.
    """

    encoding = "scaled"  # type: ignore[assignment]
    reads_context = True
    blocks = "layers"
    dims = 2
    any_length = False

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: PositiveInt = 128,
        layers: PositiveInt = 6,
        heads: PositiveInt = 4,
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        check_images(shapes)
        super().__init__(
            shapes, rotary=False, norm="layer", width=width, layers=layers, heads=heads, dropout=dropout,
            conditional=conditional,
        )  # fmt: skip
        self.register_load_state_dict_pre_hook(_renamed)

    def _initialise(self, layers: int) -> None:
        for module, first in ((self, ("read", "places")), (self.places, ("here",))):
            for name in [name for name in module._modules if name not in first]:
                module._modules[name] = module._modules.pop(name)  # in the order of older checkpoints
        super()._initialise(layers)


def _renamed(model: nn.Module, weights: dict[str, Any], prefix: str, *args: Any) -> None:
    """Give weights that an earlier version wrote the names that they have now."""
    for key in [key for key in weights if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for old, new in RENAMED.items():
            name = re.sub(f"^{old}", new, name)
        weights[prefix + name] = weights.pop(key)
