"""Lets one strategy choose among the candidates of another."""

from al_jax.interfaces import Strategy


def chain(first: Strategy, num_candidates: int, then: Strategy) -> Strategy:
  """Asks `first` for candidates; `then` measures and chooses among them.

  `chain(entropy(), 1000, batch_bald())` keeps dropout samples of a thousand
  examples and not of the pool.

  Args:
    first: proposes candidates; it may be a chain itself.
    num_candidates: how many, at least as many as are asked about per round.
    then: measures only those, and what was asked about before. It may be a
      chain; it must measure something, and all of the candidates: a `subset`
      belongs around the first.

  Returns:
    A Strategy whose `prefilter` is the first.
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
      'then has `where`, and might leave out nearly all candidates; give it to '
      'the first.'
    )
  if then.prefilter is not None:
    inner, size = then.prefilter
    return then._replace(prefilter=(chain(first, num_candidates, inner), size))
  return then._replace(prefilter=(first, num_candidates))
