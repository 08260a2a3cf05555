"""Rows of the kernels that run a network: BALD, BatchBALD, gradients.

In the table of `python -m experiments.benchmark kernels`.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from al_jax import kernels
from experiments.benchmarks import costs, peers, timing
from experiments.benchmarks.kernels import networks
from experiments.benchmarks.table import Row
from experiments.benchmarks.timing import CompiledCall, Machine, Peer

# Images per pass of the trunk: with 500 it was half as fast.
_CHUNK = 100


def bald(
  machine: Machine,
  *,
  num_points: int = 10_000,
  num_samples: int = 50,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares BALD with one pass of the trunk and S of the head.

  The kernel gets the whole network and relies on XLA to run the trunk once. If
  XLA did not, the ratio of this row would show it.
  """
  params, images = _network(num_points)
  ours = _bald_of(params, images, num_samples)
  twice = _bald_of(params, images, 2 * num_samples)
  trunk = CompiledCall(_trunk_of_all, params, images)
  heads = CompiledCall(
    _heads_of_all, params, trunk(), _sample_keys(num_samples)
  )
  yield from timing.beside(
    f'BALD, LeNet, N {num_points:,} S {num_samples}',
    ours,
    [
      Peer(
        'a trunk, then S heads',
        lambda: lambda: trunk.seconds() + heads.seconds(),
        at_most=1.3,
        note=f'memory at S {2 * num_samples}: {twice.extra_bytes / 1e6:.1f} MB',
      )
    ],
    bound=machine.least(_cost_of_bald(num_points, num_samples)),
    repeats=repeats,
  )


def _cost_of_bald(num_points, num_samples):
  """Returns the cost of one pass of the trunk and S of the head."""
  heads = costs.streamed_bald(
    num_samples=num_samples,
    num_points=num_points,
    num_classes=networks.NUM_CLASSES,
    operations_of_one=networks.operations_of_head(),
  )
  trunk = num_points * networks.operations_of_trunk()
  return heads._replace(operations=heads.operations + trunk)


def bald_beside_baal(
  machine: Machine,
  *,
  num_points: int = 1_000,
  num_samples: int = 50,
  repeats: int = 5,
) -> Iterator[Row]:
  """Compares BALD with baal, which runs the whole network S times."""
  params, images = _network(num_points)
  ours = _bald_of(params, images, num_samples)
  yield from timing.beside(
    f'BALD, LeNet, N {num_points:,} S {num_samples}',
    ours,
    [
      Peer(
        'baal',
        lambda: timing.timed(peers.baal_bald(images, num_samples)),
        at_most=1 / 50,
        once=True,
      )
    ],
    bound=machine.least(_cost_of_bald(num_points, num_samples)),
    repeats=repeats,
  )


def batch_bald(
  machine: Machine,
  *,
  num_points: int = 5_000,
  peer_points: int = 500,
  num_networks: int = 100,
  k: int = 10,
  num_samples: int = 10_000,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares BatchBALD with batchbald-redux, which gets a tenth of the pool."""
  mc_logits = linear_models(num_networks, num_points)
  select = functools.partial(kernels.batch_bald, k=k, num_samples=num_samples)
  key = jax.random.key(0)
  ours = CompiledCall(select, key, mc_logits)
  log_probs = np.asarray(jax.nn.log_softmax(mc_logits[:, :peer_points]))
  found = []

  def in_redux():
    search = peers.redux_batch_bald(log_probs, k, num_samples)

    def estimate():
      seconds = timing.seconds_of(lambda: found.append(search()))
      return seconds * num_points / peer_points

    return estimate

  cost = costs.batch_bald(
    num_networks=num_networks,
    num_points=num_points,
    num_classes=mc_logits.shape[2],
    k=k,
    num_samples=num_samples,
  )
  (row,) = timing.beside(
    f'BatchBALD, N {num_points:,} S {num_networks} C {mc_logits.shape[2]} '
    f'k {k}, {num_samples:,}',
    ours,
    [
      Peer(
        f'batchbald-redux, N {peer_points}', in_redux, at_most=0.1, once=True
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )
  if found:
    values = jax.jit(select)(key, mc_logits[:, :peer_points]).values
    row = row._replace(
      note=f'at N {peer_points} all picks tell {float(values.sum()):.3f} nats, '
      f"redux's {found[0].scores[-1]:.3f}"
    )
  yield row


def gradients(
  machine: Machine,
  *,
  num_points: int = 10_000,
  sketch_dim: int = 512,
  repeats: int = 3,
) -> Iterator[Row]:
  """Compares sketched per-example gradients with the gradient of their mean."""
  key = jax.random.key(0)
  params = networks.small_cnn(key)
  num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
  images = jax.random.normal(key, (num_points, 28, 28, 1))
  labels = jnp.arange(num_points) % networks.NUM_CLASSES
  differentiate = functools.partial(
    kernels.per_example_gradients,
    networks.small_cnn_loss,
    sketch_dim=sketch_dim,
    key=key,
  )
  ours = CompiledCall(differentiate, params, (images, labels))
  # Twice as many examples, only compiled, for the memory.
  doubled = jax.tree.map(
    lambda rows: jax.ShapeDtypeStruct(
      (2 * len(rows), *rows.shape[1:]), rows.dtype
    ),
    (images, labels),
  )
  twice = jax.jit(differentiate).lower(params, doubled).compile()
  twice_bytes = twice.memory_analysis().temp_size_in_bytes
  mean_of_chunk = jax.jit(jax.grad(networks.small_cnn_mean_loss))

  def mean_gradient():
    """Sums over calls per chunk: convolutions are slow in device loops."""
    total = jax.tree.map(jnp.zeros_like, params)
    for start in range(0, num_points, _CHUNK):
      chunk = images[start : start + _CHUNK], labels[start : start + _CHUNK]
      total = jax.tree.map(jnp.add, total, mean_of_chunk(params, chunk))
    return total

  cost = costs.per_example_gradients(
    num_points=num_points,
    num_params=num_params,
    operations_of_one=networks.operations_of_small_cnn(),
    activations_of_one=networks.activations_of_small_cnn(),
    sketch_dim=sketch_dim,
  )
  yield from timing.beside(
    f'gradients to {sketch_dim}, CNN of {num_params:,}, N {num_points:,}',
    ours,
    [
      Peer(
        'the mean gradient',
        lambda: timing.timed(mean_gradient),
        at_most=2.0,
        note=f'memory at N {2 * num_points:,}: {twice_bytes / 1e6:.1f} MB',
      )
    ],
    bound=machine.least(cost),
    repeats=repeats,
  )


def linear_models(
  num_networks: int, num_points: int, num_classes: int = 10
) -> np.ndarray:
  """Draws logits [S, N, C] of linear models that differ a little."""
  rng = np.random.default_rng(0)
  points = rng.standard_normal((num_points, 20), np.float32)
  shared = rng.standard_normal((1, 20, num_classes), np.float32)
  own = rng.standard_normal((num_networks, 20, num_classes), np.float32)
  return np.einsum('nd,sdc->snc', points, shared + 0.5 * own)


def _network(num_points):
  key = jax.random.key(0)
  images = jax.random.normal(key, (num_points, 28, 28, 1))
  return networks.lenet(key), np.asarray(images)


def _sample_keys(num_samples):
  return jax.random.split(jax.random.key(1), num_samples)


def _bald_of(params, images, num_samples):
  """Compiles the kernel on chunks of images."""

  def score(params, images, keys):
    def of_chunk(chunk):
      return kernels.streamed_bald(
        keys,
        lambda key: networks.lenet_head(
          params, networks.lenet_trunk(params, chunk), key
        ),
      )

    return lax.map(of_chunk, _in_chunks(images))

  return CompiledCall(score, params, images, _sample_keys(num_samples))


def _trunk_of_all(params, images):
  return lax.map(
    lambda chunk: networks.lenet_trunk(params, chunk), _in_chunks(images)
  )


def _heads_of_all(params, features, keys):
  """Sums the logits of all samples, so that XLA computes all of them."""

  def of_chunk(chunk):
    total, _ = lax.scan(
      lambda total, key: (
        total + networks.lenet_head(params, chunk, key),
        None,
      ),
      jnp.zeros((len(chunk), networks.NUM_CLASSES)),
      keys,
    )
    return total

  return lax.map(of_chunk, features)


def _in_chunks(images):
  return images.reshape(-1, min(_CHUNK, len(images)), *images.shape[1:])
