"""Chains strategies: one chooses among the candidates of another."""

from al_jax.interfaces import Strategy


def chain(first: Strategy, num_candidates: int, then: Strategy) -> Strategy:
  """Lets `first` propose candidates, among which `then` measures and chooses.

  `chain(entropy(), 1000, batch_bald())` keeps dropout samples of a thousand
  examples instead of the whole pool.

  Args:
    first: strategy that proposes candidates. It may be a chain.
    num_candidates: number of candidates, at least the number of queries per
      round.
    then: strategy that measures only the candidates and the examples queried
      earlier. It may be a chain. It must measure something, and must measure
      every candidate: apply `subset` to the first strategy instead.

  Returns:
    A Strategy whose `prefilter` holds the first.
  """
  if num_candidates < 1:
    raise ValueError(
      f'num_candidates is {num_candidates}; it must be at least 1.'
    )
  if then.measure is None:
    raise ValueError(
      'then measures nothing and would choose from the whole pool; put it '
      'first.'
    )
  if then.prefilter is None and then.where is not None:
    raise ValueError(
      'then has `where`, which might leave out nearly all candidates; give it '
      'to the first.'
    )
  if then.prefilter is not None:
    inner, size = then.prefilter
    return then._replace(prefilter=(chain(first, num_candidates, inner), size))
  return then._replace(prefilter=(first, num_candidates))
