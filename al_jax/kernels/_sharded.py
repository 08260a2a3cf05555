"""Kernels over a pool that several devices share: each looks at its own rows.

Device d of a mesh of one axis holds rows d L to (d + 1) L, and the last rows
may be padding. A kernel makes the picks of one device, bit for bit.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from al_jax.kernels import _xla, selection
from al_jax.kernels.selection import Selection

_largest = functools.partial(selection.largest, top_k=_xla.top_k_on_each)


def top_k(
  scores: jax.Array,
  k: int,
  *,
  mesh: jax.sharding.Mesh,
  eligible: jax.Array,
  key: jax.Array,
) -> Selection:
  """The picks of `selection.top_k`, from scores that are not gathered.

  Each device proposes its k best by score and tie-breakers; the k best of these
  are picked. 4 numbers of each proposal travel.

  Args:
    scores: float [devices x L], sharded over the axis of the mesh.
    k: how many; static.
    mesh: with one axis.
    eligible: bool[N], on every device; N is at most devices x L.
    key: breaks ties at random.

  Returns:
    A Selection on every device.
  """
  (axis,) = mesh.axis_names
  each, num_points = len(scores) // mesh.size, len(eligible)
  # As many are drawn as by one device, which pads to k.
  num_drawn = max(num_points, k)
  columns = selection.tie_breakers(key, num_drawn)
  columns = _padded(columns, max(len(scores), num_drawn), 0)
  eligible = _padded(eligible, len(scores), False)
  by_row = jax.P(axis)
  propose = jax.shard_map(
    functools.partial(_proposed, axis=axis, k=min(k, each)),
    mesh=mesh,
    in_specs=(by_row, by_row, jax.P()),
    out_specs=jax.P(),
    check_vma=False,
  )
  scores, columns, index = propose(scores, eligible, columns)
  scores = _padded(scores, k, -jnp.inf)
  columns, index = _padded(columns, k, 0), _padded(index, k, -1)
  chosen = _largest(scores, columns, k)
  chosen = selection.in_order(scores, columns, chosen)
  values = scores[chosen]
  return Selection(jnp.where(values > -jnp.inf, index[chosen], -1), values)


def _proposed(scores, eligible, columns, *, axis, k):
  """The best of every device: scores [m], tie-breakers [3, m], indices [m]."""
  scores = selection.ranked(scores, eligible)
  begin = lax.axis_index(axis) * len(scores)
  columns = lax.dynamic_slice_in_dim(columns, begin, len(scores), axis=1)
  chosen = _largest(scores, columns, k)
  found = scores[chosen], columns[:, chosen].T, begin + chosen
  scores, columns, index = lax.all_gather(found, axis, tiled=True)
  return scores, columns.T, index


def _padded(array, size, value):
  """Pads the last axis to a size at least."""
  lacking = max(0, size - array.shape[-1])
  widths = [(0, 0)] * (array.ndim - 1) + [(0, lacking)]
  return jnp.pad(array, widths, constant_values=value)
