"""What there is to know about a published network."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax

# Features float32[B, D], or maps [B, height, width, D] for a head that pools;
# and maps by name.
Trunk = tuple[jax.Array, dict[str, jax.Array]]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Architecture(NamedTuple):
  """A published network.

  Attributes:
    trunk: `(dropout) -> module`: all but the head, `(images, how) -> Trunk`.
      Those with dense layers have dropout before them.
    head: the name of the published head.
    size: height and width of the images that it was trained on.
    moments: mean and standard deviation of their channels, of values in 0 to 1.
    dropout: share of what dense layers and the head see that is dropped.
    pools: whether the head is a 1x1 convolution with ReLU, and a mean.
    renamed: other published names, as patterns, to those of the layers here.
    left_out: patterns of published tensors that the network goes without.
  """

  trunk: Callable[[float], nn.Module]
  head: str
  size: int = 224
  moments: tuple[tuple[float, ...], tuple[float, ...]] = _IMAGENET
  dropout: float = 0.0
  pools: bool = False
  renamed: Mapping[str, str] = {}
  left_out: tuple[str, ...] = ()
