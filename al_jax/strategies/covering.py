"""Finds the centers of the smallest balls that hold nearly all points.

Bisects over the radius and solves an integer program with HiGHS for each.
"""

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.spatial.distance

# The program has a row per point and a nonzero per pair within the radius.
MOST_POINTS = 2000


def smallest_cover(
  points: np.ndarray,
  given: np.ndarray,
  start: np.ndarray,
  *,
  num_outliers: int,
  max_seconds: float,
) -> np.ndarray:
  """Finds new centers, as many as at the start, that minimise the radius.

  A radius r is feasible if

    min 0  with  sum_{j: |x_i - x_j| <= r} u_j >= 1 - o_i  for all i,
                 sum_i o_i <= num_outliers,
                 sum_j u_j = all centers,  u_j = 1 for the given ones

  has a solution in zeros and ones. The paper's program (section 5) also assigns
  each point to one of its centers, which makes no difference here.

  Args:
    points: float[N, D].
    given: bool[N], existing centers.
    start: int[K], initial new centers, from the greedy choice.
    num_outliers: number of points that may be far from every center.
    max_seconds: time limit of each program.

  Returns:
    int[K], the new centers.
  """
  if not len(start):
    return start
  distances = scipy.spatial.distance.squareform(
    scipy.spatial.distance.pdist(points.astype(np.float64))
  )
  centers = np.concatenate([np.flatnonzero(given), start])
  nearest = np.sort(distances[:, centers].min(axis=1))
  # The outliers are the points farthest from the greedy centers.
  upper = nearest[len(nearest) - 1 - num_outliers]
  # With outliers greedy is not a 2-approximation: the best radius may be less
  # than half of this one.
  radii = np.unique(distances[distances <= upper])
  best, low, high = start, 0, len(radii) - 1
  while low < high:
    middle = (low + high) // 2
    found = _cover(
      distances <= radii[middle],
      given,
      len(start),
      num_outliers,
      max_seconds,
    )
    if found is None:
      low = middle + 1
    else:
      best, high = found, middle
  return best


def _cover(is_near, given, num_new, num_outliers, max_seconds):
  """Returns new centers that cover enough points, or None if none are found."""
  num_points = len(given)
  # The unknowns: whether each point is a center, then whether an outlier.
  covering = scipy.sparse.hstack(
    [
      scipy.sparse.csr_array(is_near.astype(float)),
      scipy.sparse.eye(num_points),
    ]
  )
  counts = np.zeros((2, 2 * num_points))
  counts[0, :num_points] = 1
  counts[1, num_points:] = 1
  num_centers = np.sum(given) + num_new
  solved = scipy.optimize.milp(
    np.zeros(2 * num_points),
    constraints=[
      scipy.optimize.LinearConstraint(covering, lb=1),
      scipy.optimize.LinearConstraint(
        counts, lb=[num_centers, 0], ub=[num_centers, num_outliers]
      ),
    ],
    integrality=np.ones(2 * num_points),
    bounds=scipy.optimize.Bounds(
      np.concatenate([given.astype(float), np.zeros(num_points)]), 1
    ),
    options={'time_limit': max_seconds},
  )
  if solved.x is None:
    return None
  is_center = solved.x[:num_points] > 0.5
  return np.flatnonzero(is_center & ~given)
