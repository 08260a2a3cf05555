"""The description of a published network."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax

# Features float32[B, D], or maps [B, height, width, D] for a head that pools;
# and intermediate maps by name.
Trunk = tuple[jax.Array, dict[str, jax.Array]]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Architecture(NamedTuple):
  """A published network.

  Attributes:
    trunk: `(dropout) -> module`; the module, `(images, how) -> Trunk`, is all
      but the head and applies dropout before its dense layers.
    head: name of the published head.
    size: height and width of the images that it was trained on.
    moments: mean and standard deviation of their channels, for values from 0 to
      1.
    dropout: share of the inputs of dense layers and the head that is dropped.
    pools: whether the head is a 1x1 convolution with ReLU and a mean.
    renamed: pattern of other published layer names -> name of the layer here.
    left_out: patterns of published tensors that the network does not use.
  """

  trunk: Callable[[float], nn.Module]
  head: str
  size: int = 224
  moments: tuple[tuple[float, ...], tuple[float, ...]] = _IMAGENET
  dropout: float = 0.0
  pools: bool = False
  renamed: Mapping[str, str] = {}
  left_out: tuple[str, ...] = ()
