"""Queries uncertain examples that are typical of the pool and not covered."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from al_jax import errors, kernels
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.strategies import needs

# A number, or a first and a last value.
Exponent = float | Sequence[float]


def hybrid(
  *,
  alpha: Exponent = (0.5, 1.0),
  beta: Exponent = (1.0, 0.5),
  gamma: float = 0.5,
  num_references: int = 2000,
) -> Strategy:
  """Selects the largest product of uncertainty, density and novelty, k times.

  With u the entropy of the prediction divided by log C, rho the density of the
  example among the references, and kappa its similarity to the nearest queried
  example or pick, the product is

    u^alpha rho^beta (1 - kappa)^gamma,

  see `kernels.hybrid_informativeness`. By default typical examples come first
  and uncertain ones later: alpha and beta move from their first to their last
  value as the budget is spent.

  Gikunda 2021, "Budget annotation", names the three measures without formulas;
  the formulas are ours.

  Args:
    alpha: exponent of the uncertainty, at least 0; or its first and last value.
    beta: exponent of the density, at least 0; or its first and last value. With
      alpha 1, and beta and gamma 0, this is `entropy`.
    gamma: exponent of the novelty, at least 0.
    num_references: number of examples drawn to estimate the density.

  Returns:
    A Strategy that measures entropies [N] and embeddings [N, D].
  """
  first_alpha, last_alpha = _ends('alpha', alpha)
  first_beta, last_beta = _ends('beta', beta)
  errors.check_number('gamma', gamma, least=0)
  errors.check_number('num_references', num_references, int, least=1)

  def init(facts):
    return {
      # Size of the first labelled set; -1 before the first query.
      'begun': jnp.int32(-1),
      'budget': jnp.int32(facts.label_budget),
    }

  def measure(key, apply, batch):
    del key
    output = apply(batch.inputs)
    entropies = kernels.entropy(output.predictions)
    most = jnp.log(jnp.float32(output.predictions.shape[-1]))
    return entropies / most, output.embedding

  @functools.partial(jax.jit, static_argnames='k')
  def select(key, state, measured, seen, pool, k):
    entropies, embeddings = _parts(measured)
    asked = pool_lib.num_asked(pool)
    begun = jnp.where(state['begun'] < 0, asked, state['begun'])
    # The share is 1 in the last round.
    left = jnp.maximum(state['budget'] - k - begun, 1)
    share = jnp.clip((asked - begun) / left, 0.0, 1.0)
    eligible = pool_lib.eligible(pool)
    chosen = kernels.hybrid_informativeness(
      entropies,
      embeddings,
      k,
      eligible=eligible & seen,
      labeled=~eligible & seen,
      key=key,
      num_references=num_references,
      alpha=_between(first_alpha, last_alpha, share),
      beta=_between(first_beta, last_beta, share),
      gamma=gamma,
    )
    return {**state, 'begun': begun}, chosen

  needed = {needs.CLASSES: '', needs.EMBEDDING: ''}
  return Strategy(
    init,
    measure,
    select,
    needs=needed,
    score='uncertainty times density times novelty',
    takes_sharded=True,
  )


def _parts(measured):
  """Splits into entropies, copied to every device, and embeddings."""
  if not isinstance(measured, kernels.Sharded):
    return measured
  entropies, embeddings = (
    dataclasses.replace(measured, rows=rows) for rows in measured.rows
  )
  return entropies.everywhere(), embeddings


def _ends(name, exponent):
  """Returns the first and the last value of an exponent."""
  is_pair = isinstance(exponent, Sequence) and not isinstance(exponent, str)
  ends = tuple(exponent) if is_pair else (exponent, exponent)
  wrong = [value for value in ends if not _is_exponent(value)]
  if len(ends) == 2 and not wrong:
    return ends
  which = ''
  if is_pair and wrong:
    which = f', and {wrong[0]!r} in it is not allowed'
  raise ValueError(
    f'{name} is {exponent!r}{which}; it must be a number at least 0, or two of '
    'them for the first and the last round.'
  )


def _is_exponent(value):
  try:
    errors.check_number('', value, least=0)
  except ValueError:
    return False
  return True


def _between(first, last, share):
  """Interpolates; a constant stays a Python number, so that 0 costs nothing."""
  return first if first == last else first + (last - first) * share
