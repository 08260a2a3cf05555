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
from al_jax.kernels import _sharded

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
found = {}
for count in (1, 3, 8):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), (placement.AXIS,))
  over = placement.Placement(mesh)
  shards = over.shards(rows)
  taken = over.on_first(jax.jit(shards.take)(over.everywhere(index)))
  wrong = [
    name
    for whole, part in ((rows, shards.gathered()), (gathered, taken))
    for name in whole
    if whole[name].astype(rows[name].dtype).tobytes()
    != np.asarray(part[name]).tobytes()
  ]
  sharded = over.shards(scores).rows
  for k in (4, 30):
    pick = jax.jit(
      lambda s, e, key, k=k, mesh=mesh: _sharded.top_k(
        s, k, mesh=mesh, eligible=e, key=key
      )
    )
    for seed in range(3):
      key = jax.random.key(seed)
      wanted = kernels.top_k(
        jnp.asarray(scores), k, eligible=jnp.asarray(eligible), key=key
      )
      picked = pick(sharded, *over.everywhere((eligible, key)))
      for one, several in zip(wanted, picked):
        if np.asarray(one).tobytes() != np.asarray(several).tobytes():
          wrong.append([k, seed, one.tolist(), np.asarray(several).tolist()])
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
