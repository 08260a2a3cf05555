"""What several devices hold and choose is what one would, bit for bit.

One process with eight virtual devices answers for all tests of this file: it
lays the pool out over 1, 3 and 8 of them.
"""

import pytest

from tests import children

SCRIPT = """
import json
import jax
jax.config.update('jax_num_cpu_devices', 8)
import jax.numpy as jnp
import numpy as np
from al_jax import kernels, placement

rng = np.random.default_rng(0)
size = 21
rows = {
  'float': rng.normal(size=(size, 3)).astype(np.float32),
  'byte': rng.integers(0, 256, (size, 2)).astype(np.uint8),
  'flag': rng.random(size) < 0.5,
}
rows['float'][4] = [-0.0, np.nan, np.inf]
index = np.array([4, -1, 20, 0, 4], np.int32)
gathered = {
  name: np.where(index.reshape(-1, *[1] * (leaf.ndim - 1)) < 0, 0, leaf[index])
  for name, leaf in rows.items()
}
# Few values: nearly every pick is decided by a tie. And two that never win.
scores = rng.integers(0, 3, size).astype(np.float32)
scores[[2, 9]] = np.nan, np.inf
eligible = rng.random(size) < 0.8

# Each point is there thrice, and each of 3 devices has more than a tile.
many = 9000
points = np.tile(rng.normal(size=(many // 3, 6)).astype(np.float32), (3, 1))
factors = kernels.Factors(np.abs(points[:, :2]), points)
doubts = np.tile(rng.random(many // 3).astype(np.float32), 3)
masks = rng.random((2, many)) < 0.9
masks[1] = ~masks[1]
set_kernels = {
  'kmeans_plus_plus': lambda points, doubts, eligible, known, key: (
    kernels.kmeans_plus_plus(key, points, 12, eligible=eligible, block=8)
  ),
  'k_center': lambda points, doubts, eligible, known, key: (
    kernels.k_center(points, 12, eligible=eligible, centers=known)
  ),
  'lcmd': lambda points, doubts, eligible, known, key: (
    kernels.lcmd(points, 12, eligible=eligible, centers=known)
  ),
  'hybrid_informativeness': lambda points, doubts, eligible, known, key: (
    kernels.hybrid_informativeness(
      doubts, points, 12, eligible=eligible, labeled=known, key=key
    )
  ),
}
others = (doubts, *masks, jax.random.key(0))
alone = {
  name: jax.jit(kernel)(jax.tree.map(jnp.asarray, factors), *others)
  for name, kernel in set_kernels.items()
}
found = {}
for count in (1, 3, 8):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), (placement.AXIS,))
  over = placement.Placement(mesh)
  shards = over.sharded(rows)
  taken = over.on_first(jax.jit(shards.take)(over.everywhere(index)))
  wrong = [
    name
    for whole, part in (
      (rows, placement.gathered(shards)),
      (rows, over.on_first(jax.jit(kernels.Sharded.everywhere)(shards))),
      (gathered, taken),
    )
    for name in whole
    if whole[name].astype(rows[name].dtype).tobytes()
    != np.asarray(part[name]).tobytes()
  ]
  def compare(about, wanted, picked):
    for one, several in zip(wanted, picked):
      if np.asarray(one).tobytes() != np.asarray(several).tobytes():
        wrong.append([*about, one.tolist(), np.asarray(several).tolist()])

  sharded = over.sharded(scores)
  for k in (4, 30):
    for key in (None, *map(jax.random.key, range(3))):
      wanted = kernels.top_k(jnp.asarray(scores), k, eligible=eligible, key=key)
      mask, same_key = over.everywhere((eligible, key))
      picked = kernels.top_k(sharded, k, eligible=mask, key=same_key)
      compare([k, str(key)], wanted, picked)
  # Arrays that are on every device make programs of all devices too.
  copies = kernels.top_k(
    over.everywhere(jnp.asarray(scores)), 4, eligible=over.everywhere(eligible)
  )
  compare(['copies'], kernels.top_k(scores, 4, eligible=eligible), copies)
  if count == 3:
    sharded = over.sharded(factors)
    for name, kernel in set_kernels.items():
      picked = jax.jit(kernel)(sharded, *over.everywhere(others))
      compare([name], alone[name], picked)
  held = [len(shard.data) for shard in shards.rows['flag'].addressable_shards]
  found[count] = {'held': held, 'wrong': wrong}
print(json.dumps(found))
"""


@pytest.fixture(scope='module')
def found():
  return children.printed([children.begin(SCRIPT)])[0]


@pytest.mark.parametrize(('devices', 'each'), [('1', 21), ('3', 7), ('8', 3)])
def test_devices_hold_and_pick_what_one_does(found, devices, each):
  assert found[devices]['held'] == [each] * int(devices)
  assert found[devices]['wrong'] == []
