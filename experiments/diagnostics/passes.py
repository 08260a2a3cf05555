"""How long the forward passes take that a strategy's look over the pool needs.

Measured, and not counted: the rate of a network is not that of a large matrix
product.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import inference, keys
from al_jax.interfaces import Batch, Facts, Learner, Strategy
from experiments.diagnostics import timing as diagnose_timing
from experiments.diagnostics.runs import Case

# Examples of the batch that is traced.
_FEW = 3


class Look(NamedTuple):
  """What a strategy needs of a network.

  Attributes:
    num_points: of so many examples.
    outputs: of a pass without dropout, by name; none if there is no such pass.
    num_samples: passes with dropout.
  """

  num_points: int
  outputs: tuple[str, ...]
  num_samples: int

  @property
  def is_there(self) -> bool:
    """Whether it needs the network at all."""
    return bool(self.outputs or self.num_samples)


class _Watched:
  """An output of a network that notes which parts of it are read."""

  def __init__(self, output: Any, read: set[str]):
    self._output, self._read = output, read

  def __getattr__(self, name: str) -> Any:
    self._read.add(name)
    return getattr(self._output, name)


def outputs_read(
  strategy: Strategy, learner: Learner, facts: Facts
) -> tuple[str, ...]:
  """What a strategy reads of a pass without dropout, seen by tracing it.

  Args:
    strategy: whose `measure` is traced.
    learner: whose network it looks through.
    facts: of the task.

  Returns:
    Names of outputs, sorted; none if it makes no such pass.
  """
  read = set()

  def measure(key, state, inputs):
    def apply(inputs, *, keys=None):
      output = learner.apply(state, inputs, keys=keys)
      return _Watched(output, read) if keys is None else output

    index = jnp.arange(_FEW, dtype=jnp.int32)
    return strategy.measure(key, apply, Batch(index, inputs))

  rows = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((_FEW, *leaf.shape), leaf.dtype),
    facts.example,
  )
  key = jax.random.key(0)
  jax.eval_shape(
    measure, key, jax.eval_shape(lambda: learner.init(key, facts)), rows
  )
  return tuple(sorted(read))


def seconds(
  case: Case, learner: Learner, looks: Iterable[Look]
) -> dict[Look, float]:
  """The least of several times that the passes take, compiled.

  In the chunks of the run, by the same map; of each row a number is kept. They
  are measured in turns, so that what disturbs one disturbs all.

  Args:
    case: of the run.
    learner: whose network it is; with its first weights, which are as fast as
      any.
    looks: what to compute.

  Returns:
    Seconds of each.
  """
  return diagnose_timing.least_in_turns(
    {look: _call(case, learner, look) for look in looks}
  )


def _call(case, learner, look):
  """A function that makes the passes, over as many rows as are looked at."""
  facts = case.experiment.facts
  map_pool = inference.make_pool_map(
    lambda args, batch: _passes(learner, look, *args, batch.inputs),
    chunk_size=case.experiment.config['chunk_size'],
  )
  key = keys.for_run(0, keys.INITIALISE)
  state = jax.jit(lambda key: learner.init(key, facts))(key)
  where = None
  if look.num_points < facts.num_examples:
    rng = np.random.default_rng(0)
    where = np.zeros(facts.num_examples, bool)
    rows = rng.choice(facts.num_examples, look.num_points, replace=False)
    where[rows] = True
  inputs = case.sources['pool'].inputs
  return lambda: map_pool((key, state), inputs, where)


def _passes(learner, look, key, state, inputs):
  """A number per row of each output that is needed."""
  found = []
  if look.outputs:
    output = learner.apply(state, inputs)
    read = [getattr(output, name) for name in look.outputs]
    found += [_row_sums(leaf) for leaf in jax.tree.leaves(read)]
  if look.num_samples:

    def logits(key):
      return learner.apply(state, inputs, keys=key[None]).predictions[0]

    shape = jax.eval_shape(logits, key)
    total, _ = jax.lax.scan(
      lambda total, key: (total + logits(key), None),
      jnp.zeros(shape.shape, shape.dtype),
      jax.random.split(key, look.num_samples),
    )
    found.append(_row_sums(total))
  return found


def _row_sums(leaf):
  """[B], of numbers that XLA cannot sum before it has computed them.

  Rounding to the precision that they have keeps the sum out of the dense layer,
  which on CPU it would have computed twice.
  """
  info = jnp.finfo(leaf.dtype)
  rounded = jax.lax.reduce_precision(leaf, info.nexp, info.nmant)
  return jnp.sum(rounded.reshape(len(leaf), -1), axis=1)
