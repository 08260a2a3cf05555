"""A critic, which tells two kinds of latents apart."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from al_jax.interfaces import NetFns
from al_jax.models import checks, common


class Critic(nn.Module):
  """Dense layers to a single logit.

  Attributes:
    widths: units of each hidden layer.
  """

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, code: jax.Array) -> jax.Array:
    """Maps latents [B, Z] to logits [B]."""
    hidden = code
    for width in self.widths:
      hidden = nn.relu(nn.Dense(width)(hidden))
    return nn.Dense(1)(hidden)[:, 0]


def critic(size: int, *, widths: Sequence[int] = (512, 512)) -> NetFns:
  """Builds a critic of latents; the default is VAAL's.

  Args:
    size: size Z of a latent.
    widths: units of each hidden layer.

  Returns:
    NetFns from latents [B, Z] to logits [B].

  Raises:
    ValueError: If a value is not allowed.
  """
  checks.check_widths('widths', widths)
  codes = jax.ShapeDtypeStruct((2, size), jnp.float32)
  return common.net_fns(Critic(tuple(widths)), codes)
