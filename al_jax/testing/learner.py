"""Checks that a learner keeps the contract of `al_jax.interfaces.Learner`."""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors
from al_jax.interfaces import Batch, Facts, Learner, ModelFns, PyTree
from al_jax.testing import linear, report, tracing
from al_jax.testing.learner_case import KEY, NUM_LABELS, Case
from al_jax.testing.report import Broken, Report, Skipped


def check_learner(
  learner: Learner | Callable[..., Learner],
  *,
  facts: Facts | None = None,
  inputs: np.ndarray | None = None,
  targets: PyTree | None = None,
  model: Callable[[Facts], ModelFns] | None = None,
  options: Mapping[str, Any] | None = None,
  skip: Collection[str] | Mapping[str, str] = (),
  raises: bool = True,
  name: str = 'the learner',
) -> Report:
  """Checks that a learner keeps its contract, on a few random examples.

  Needs the extra `experiments`.

  Args:
    learner: The learner, or a function `(model, facts, **options)` that makes
      it.
    facts: Facts that the learner was built for. If None, those of 40 points of
      four classes; a `Learner` needs its own.
    inputs: Inputs that match the facts, [N, ...]. If None, the 40 points.
    targets: Pytree of [N, ...]. If None, the classes of the points.
    model: Makes the model if `learner` is a function. If None, an MLP with
      dropout.
    options: Keywords if `learner` is a function. Few steps make the check fast.
    skip: Names of rules to leave out; a mapping gives the reasons.
    raises: Whether a broken rule is an error.
    name: Name of the learner, for messages.

  Returns:
    A Report.

  Raises:
    ContractError: If any rule is broken; the message has the evidence for each.
    ValueError: If an argument is invalid.
  """
  is_made = isinstance(learner, Learner)
  given = [each is not None for each in (facts, inputs, targets)]
  if any(given) != all(given) or (is_made and not all(given)):
    raise ValueError(
      'facts, inputs and targets must be passed together, and are required for '
      'a Learner that is already built.'
    )
  if is_made and (model is not None or options is not None):
    raise ValueError(
      'model and options are for a function that makes a learner, but learner '
      'is a Learner.'
    )
  if facts is None:
    facts, inputs, targets = _drawn()
  if min(facts.label_budget, facts.num_examples) < NUM_LABELS[-1]:
    raise ValueError(
      f'facts have a label_budget of {facts.label_budget} and '
      f'{facts.num_examples} examples; both must be at least {NUM_LABELS[-1]}.'
    )
  if not is_made:
    model = _mlp if model is None else model
    learner = learner(model(facts), facts, **(options or {}))
  case = Case(learner, facts, np.asarray(inputs), targets)
  return report.check(name, RULES, case, skip=skip, raises=raises)


def _drawn():
  """Returns 40 points, and their classes by a linear network."""
  targets = np.argmax(linear.DRAWN @ linear.WEIGHTS, axis=1).astype(np.int32)
  facts = linear.facts_of(linear.TASK, linear.DRAWN)
  return facts, linear.DRAWN, targets


@errors.needs('al_jax.testing.check_learner')
def _mlp(facts):
  from al_jax import models

  return models.build('mlp', facts, widths=(16,), dropout=0.2)


def _ends(case):
  """Checks that a round ends within `most_steps`, with finite networks."""
  state, progress = case.trained
  for network, is_finite in case.fns.finite(state).items():
    if not is_finite:
      raise Broken(f'the network {network!r} is not finite after a round')
  if case.learner.most_steps is None:
    return f'most_steps is None; the round took {progress.step[0]} steps'
  return None


def _shapes(case):
  """Checks that every leaf of the state keeps shape, dtype and weak type."""
  learner, pool = case.learner, case.pool
  state = jax.eval_shape(learner.init, KEY)
  moves = {'start': lambda s: learner.start(KEY, s, pool)}
  for number, phase in enumerate(learner.phases):
    moves[f'the step of phase {number}'] = functools.partial(
      _stepped, case, phase
    )
  for name, survey in learner.surveys.items():
    moves[f'the survey {name!r}'] = functools.partial(_absorbed, case, survey)
  for what, move in moves.items():
    problem = tracing.difference(state, jax.eval_shape(move, state))
    if problem:
      raise Broken(f'{what} changed the state of init: {problem}')


def _stepped(case, phase, state):
  batches = {
    name: Batch(index, jnp.asarray(case.inputs)[index])
    for name, index in phase.plan(state, case.pool).items()
  }
  return phase.step(state, batches, case.pool)[0]


def _absorbed(case, survey, state):
  apply = functools.partial(case.learner.apply, state)
  index = jnp.arange(len(case.inputs), dtype=jnp.int32)
  batch = Batch(index, jnp.asarray(case.inputs))
  held = case.sources[survey.source].pool or case.pool
  return survey.absorb(KEY, state, survey.measure(KEY, apply, batch), held)


def _end_is_fixed(case):
  """Checks that a step after the end of a round changes nothing."""
  state, progress = case.trained
  for number, advance in enumerate(case.fns.advance):
    after, told = advance(state, case.pool, 1)
    at = _first_other(state, after)
    if at:
      raise Broken(f'a step of phase {number} after the end changed {at}')
    if not told.done or told.step != progress.step[0]:
      raise Broken(
        f'a step of phase {number} after the end says done = {told.done} and '
        f'step = {told.step}; it was True and {progress.step[0]}'
      )


def _padding(case):
  """Checks that the inputs of padding rows change nothing."""
  state = case.fns.start(KEY, case.init(KEY), case.pool)
  phase = case.learner.phases[0]
  step = jax.jit(phase.step)
  planned = phase.plan(state, case.pool)
  if not any(np.any(np.asarray(index) < 0) for index in planned.values()):
    raise Skipped(
      f'with {NUM_LABELS[-1]} labels the first batch has no padding'
    )

  def stepped(filler):
    batches = {}
    for name, index in planned.items():
      rows = case.inputs[np.maximum(index, 0)].copy()
      rows[np.asarray(index) < 0] = filler
      batches[name] = Batch(index, rows)
    return step(state, batches, case.pool)[0]

  at = _first_other(stepped(0), stepped(7))
  if at:
    raise Broken(f'padding rows of 7 instead of 0 changed {at}')


def _hidden(case):
  """Checks that hidden answers are not read."""
  _equal(
    case,
    case.train(0, pools=[*map(linear.poisoned, case.pools)])[0],
    'garbage in place of hidden answers changed',
  )


def _key(case):
  """Checks that a key determines the result, and another key changes it."""
  _equal(case, case.train(0)[0], 'a second run with the same key changed')
  old, new = (
    jax.tree.leaves(_predictions(case, state))
    for state in (case.trained[0], case.train(1)[0])
  )
  if all(map(np.array_equal, old, new)):
    raise Broken('seeds 0 and 1 made the same predictions after a round')


def _lanes(case):
  """Checks that seeds trained in one call match each alone, to rounding."""
  worst = 0.0
  for seed, state in zip((0, 1), case.in_lanes((0, 1)), strict=True):
    alone = case.trained[0] if seed == 0 else case.train(seed)[0]
    for one, other in zip(
      jax.tree.leaves(_predictions(case, alone)),
      jax.tree.leaves(_predictions(case, state)),
      strict=True,
    ):
      apart = np.abs(one - other).max() / (1 + np.abs(one).max())
      if not apart <= 1e-2:
        raise Broken(
          f'the predictions of seed {seed} in a call with another seed are '
          f'{apart:.2g} from those of the seed alone, as a share of the largest'
        )
      worst = max(worst, apart)
  return f'predictions differ by {worst:.1g}' if worst else 'bit for bit'


def _finite(case):
  """Checks that `finite` reports NaN in any leaf that predictions depend on."""
  state, _ = case.trained
  leaves, tree = jax.tree.flatten(state)
  for place, (path, leaf) in enumerate(
    jax.tree_util.tree_flatten_with_path(state)[0]
  ):
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
      continue
    changed = [*leaves]
    changed[place] = jnp.full_like(leaf, jnp.nan)
    spoilt = jax.tree.unflatten(tree, changed)
    outputs = jax.tree.leaves(_predictions(case, spoilt))
    if all(np.all(np.isfinite(output)) for output in outputs):
      continue
    if all(np.all(each) for each in case.fns.finite(spoilt).values()):
      raise Broken(
        f'NaN in {jax.tree_util.keystr(path)} makes predictions NaN, and '
        'finite says that all networks are finite'
      )


def _restore(case):
  """Checks that a run restored within a round continues bit-identically."""
  state, step = case.resumed()
  _equal(case, state, f'saving and restoring after step {step} changed')


def _dropout(case):
  """Checks that `apply` with keys[S] gives S samples with shared masks."""
  state, _ = case.trained
  keys = jax.random.split(KEY, 3)
  rows = np.repeat(case.inputs[:1], 4, axis=0)
  found = case.apply(state, rows, keys=keys).predictions
  sizes = case.facts.task.outputs
  wanted = jax.tree.map(lambda size: (3, 4, size), sizes)
  shapes = jax.tree.map(lambda leaf: leaf.shape, found)
  if shapes != wanted:
    raise Broken(
      f'apply with 3 keys gave predictions {shapes} of 4 examples; it must be '
      f'{wanted}'
    )
  for leaf in jax.tree.leaves(found):
    leaf = np.asarray(leaf)
    if not np.allclose(leaf, leaf[:, :1], rtol=1e-4, atol=1e-5):
      raise Broken('one key gave four equal examples different predictions')


def _rows(case):
  """Checks that predictions of an example do not depend on its batch."""
  state, _ = case.trained
  few = case.apply(state, case.inputs[:4]).predictions
  for whole, part in zip(
    *map(jax.tree.leaves, (_predictions(case, state), few)), strict=True
  ):
    if not np.allclose(whole[:4], part, rtol=1e-3, atol=1e-4):
      raise Broken(
        f'example 0 gets {whole[0]} in a batch of {len(whole)} and '
        f'{np.asarray(part)[0]} in one of 4'
      )


def _pseudo_labels(case):
  """Checks that pseudo-labels are int32[N], and -1 for labelled examples."""
  if case.learner.pseudo_labels is None:
    raise Skipped('it has none')
  found = np.asarray(case.learner.pseudo_labels(case.trained[0], case.pool))
  number = len(case.inputs)
  if found.shape != (number,) or found.dtype != np.int32:
    raise Broken(
      f'pseudo_labels returned {found.dtype}{list(found.shape)}; it must be '
      f'int32[{number}]'
    )
  if np.any(found[: NUM_LABELS[-1]] != -1):
    raise Broken('pseudo_labels has a label for an example with an answer')


def _report(case):
  """Checks that a report gives its metrics, the same for any chunk size."""
  if case.learner.report is None:
    raise Skipped('it has none')
  try:
    whole, cut = case.reported(len(case.inputs)), case.reported(7)
  except errors.ContractError as error:
    raise Broken(str(error).rstrip('.')) from error
  for name, value in whole.items():
    close = np.isclose(value, cut[name], rtol=1e-3, atol=1e-4, equal_nan=True)
    if not close:
      raise Broken(
        f'the metric {name!r} of the report is {value:.4g} in one chunk and '
        f'{cut[name]:.4g} in chunks of 7'
      )


RULES = {
  'ends': _ends,
  'shapes': _shapes,
  'end_is_fixed': _end_is_fixed,
  'padding': _padding,
  'hidden': _hidden,
  'key': _key,
  'lanes': _lanes,
  'finite': _finite,
  'restore': _restore,
  'dropout': _dropout,
  'rows': _rows,
  'pseudo_labels': _pseudo_labels,
  'report': _report,
}


def _predictions(case, state):
  return jax.tree.map(np.asarray, case.apply(state, case.inputs).predictions)


def _equal(case, state, what):
  at = _first_other(case.trained[0], state)
  if at:
    raise Broken(f'{what} {at}')


def _first_other(one, other):
  """Returns the path of the first leaf whose values differ, or ''."""
  for (path, a), b in zip(
    jax.tree_util.tree_flatten_with_path(one)[0],
    jax.tree.leaves(other),
    strict=True,
  ):
    a, b = _plain(a), _plain(b)
    if not np.array_equal(a, b, equal_nan=a.dtype.kind == 'f'):
      return jax.tree_util.keystr(path)
  return ''


def _plain(leaf):
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  return np.asarray(leaf)
