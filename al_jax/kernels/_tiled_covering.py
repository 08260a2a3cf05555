"""k-center of points that stay on the host.

This is the loop of `k_center`, run by Python. The same functions run on the
same tiles, so that the picks are the same. A step on the shortlist is a step on
a small pool that contains the shortlist and the centers.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from al_jax.kernels import _covering, _greedy, distances, selection
from al_jax.kernels.tiled import Tiled, squared_norms

# A pass is due once there are this many times the centers that all points met.
_TIMES_AS_MANY = 16
# Size of the shortlist: one point in `_POINTS_PER_ROW`, at most `_MOST_BYTES`.
# At N = 1,000,000 x 64, 1,024 points took 1,015 steps, and 16,384 took 69.
_POINTS_PER_ROW = 128
_MOST_BYTES = 2**28


def k_center(
  *,
  points: Tiled,
  k: int,
  eligible: jax.Array | None,
  centers: jax.Array | None,
  block: int,
) -> selection.Selection:
  """Runs `k_center.k_center` on arguments that are already checked."""
  sq_norms, block = squared_norms(points), min(block, k)
  if not sq_norms.size:
    return selection.nothing(k, sq_norms.dtype)
  state = _begin(sq_norms, eligible, centers, k=k, block=block)
  rows = _rows_of_centers(points, sq_norms, state, k + block + _greedy.CENTERS)
  size = _size_of_shortlist(points)
  while state.more and state.count < k:
    goal = min(int(state.num_centers), _greedy.MET_BY_ALL)
    if _is_due(int(state.met_by_all), goal):
      state = _passed_over(points, sq_norms, state, rows, goal)
    shortlist, outsider = _shortlist(state.scores, count=size)
    candidates = points.rows(np.asarray(shortlist))
    state, rows = _pick_a_block(
      (state.scores, state.met, rows),
      state._replace(scores=None, met=None),
      sq_norms,
      candidates,
      shortlist,
      outsider,
      k=k,
      block=block,
      points_of=points.points_of,
    )
  return _selected(state, k=k)


def _is_due(met: int, goal: int) -> bool:
  """Returns whether a pass is worth its time.

  In memory, a pass is due whenever there is a new center.
  """
  return met < goal and (
    goal >= _TIMES_AS_MANY * met or goal == _greedy.MET_BY_ALL
  )


def _size_of_shortlist(points):
  """Returns the number of points on the shortlist.

  It is larger than in memory, since reads from the host have a fixed cost.
  """
  point = sum(
    form.size * form.dtype.itemsize for form in jax.tree.leaves(points.form)
  )
  size = min(points.num_points // _POINTS_PER_ROW, _MOST_BYTES // point)
  return max(size, _greedy.SHORTLIST)


_shortlist = jax.jit(_greedy.largest, static_argnames='count')
_begin = jax.jit(_covering.begin, static_argnames=('k', 'block'))
_selected = jax.jit(_greedy.selected, static_argnames='k')


def _rows_of_centers(points, sq_norms, state, room):
  """Returns the rows of the centers, in order, with room for more."""
  count = int(state.num_centers)
  order = np.asarray(state.order[:count])
  rows = jax.tree.map(
    lambda form: jnp.zeros((count + room, *form.shape[1:]), form.dtype),
    distances.WithNorms(points.form, jax.eval_shape(lambda n: n[:1], sq_norms)),
  )
  for start, some in _batches(order):
    new = points.rows(some)
    rows = _write_centers(
      rows, sq_norms, new, some, start, points_of=points.points_of
    )
  return rows


def _batches(order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
  for start in range(0, len(order), _greedy.TILE):
    yield start, order[start : start + _greedy.TILE]


@functools.partial(jax.jit, static_argnames='points_of', donate_argnums=0)
def _write_centers(rows, sq_norms, new, indices, start, *, points_of):
  new = distances.WithNorms(points_of(new), sq_norms[indices])
  return _updated(rows, new, start)


def _updated(rows, new, start):
  return jax.tree.map(
    lambda old, part: lax.dynamic_update_slice_in_dim(old, part, start, 0),
    rows,
    new,
  )


def _passed_over(points, sq_norms, state, rows, goal):
  """Returns the state once all points have met the first `goal` centers."""
  scores = state.scores
  for start, part in points.parts(_greedy.TILE):
    scores = _meet_all(
      scores,
      rows,
      sq_norms,
      part,
      start,
      state.met_by_all,
      goal,
      points_of=points.points_of,
    )
    # Wait, or parts would queue up in memory.
    scores.block_until_ready()
  return state._replace(
    scores=scores,
    met=jnp.maximum(state.met, goal),
    met_by_all=jnp.asarray(goal, jnp.int32),
  )


@functools.partial(jax.jit, static_argnames='points_of', donate_argnums=0)
def _meet_all(scores, centers, sq_norms, rows, start, met, goal, *, points_of):
  size = jax.tree.leaves(rows)[0].shape[0]
  old, part_norms = (
    lax.dynamic_slice_in_dim(of_all, start, size)
    for of_all in (scores, sq_norms)
  )
  new = _greedy.meet_all(
    _covering.scoring(centers),
    centers,
    old,
    (rows, part_norms),
    met,
    goal,
    lambda some: distances.WithNorms(points_of(some[0]), some[1]),
  )
  return lax.dynamic_update_slice_in_dim(scores, new, start, 0)


@functools.partial(
  jax.jit, static_argnames=('k', 'block', 'points_of'), donate_argnums=0
)
def _pick_a_block(
  large,
  state,
  sq_norms,
  candidates,
  shortlist,
  outsider,
  *,
  k,
  block,
  points_of,
):
  """Returns the state and the rows of the centers after some picks."""
  scores, met, centers = large
  size, before = shortlist.size, state.num_centers
  candidates = distances.WithNorms(points_of(candidates), sq_norms[shortlist])
  # The small pool: the shortlist, then the centers.
  local = jax.tree.map(lambda *rows: jnp.concatenate(rows), candidates, centers)
  scoring, all_of_it = _covering.scoring(local), jnp.arange(size)
  found = state._replace(
    scores=scores[shortlist],
    met=met[shortlist],
    order=size + jnp.arange(centers.sq_norms.size, dtype=jnp.int32),
  )
  found = _greedy.bring_up_to_date(scoring, found, all_of_it)
  # The shortlist is in ascending order, so that ties go to the same points as
  # in memory.
  outsider = outsider._replace(
    index=jnp.searchsorted(shortlist, outsider.index).astype(jnp.int32)
  )
  found = _greedy.pick_certain(scoring, found, all_of_it, outsider, k, block)
  # Entries past the last pick are arbitrary, and never read.
  new = jnp.minimum(
    lax.dynamic_slice_in_dim(found.order, before, block), size - 1
  )
  picked = jax.tree.map(lambda rows: rows[new], candidates)
  scores = scores.at[shortlist].set(found.scores)
  return found._replace(
    scores=scores,
    met=met.at[shortlist].set(found.met),
    order=lax.dynamic_update_slice_in_dim(
      state.order, shortlist[new], before, 0
    ),
    more=jnp.any(scores > -jnp.inf),
  ), _updated(centers, picked, before)
