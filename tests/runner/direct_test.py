"""Runs in one call, from Python."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

import al_jax
from al_jax import kernels, learners, loop
from al_jax import pool as pool_lib
from al_jax.interfaces import Strategy
from al_jax.loop import program
from al_jax.runner import direct
from al_jax.storage import records
from tests.factories import a_record

FEW = {'source': 'digits', 'transforms': [{'name': 'cap', 'train': 60}]}
MODEL = {'name': 'mlp', 'widths': (8,)}
LEARNER = {'stop': {'epochs': 2}}
PROTOCOL = {'rounds': 2, 'labels_per_round': 5, 'first_size': 10}


@pytest.fixture(scope='module')
def dataset():
  return al_jax.load(FEW)


@functools.partial(jax.jit, static_argnames='k')
def _first(key, state, measured, seen, pool, k):
  eligible = pool_lib.eligible(pool) & seen
  scores = -jax.numpy.arange(pool.num_examples, dtype=np.float32)
  return state, kernels.top_k(scores, k, eligible=eligible, key=key)


def lowest_first() -> Strategy:
  """Asks in the order of the pool."""
  return Strategy(lambda facts: (), None, _first)


@pytest.fixture(scope='module')
def results(dataset):
  return al_jax.run(
    ['random', 'supervised+margin', lowest_first],
    dataset,
    seeds=2,
    protocol=al_jax.Protocol(**PROTOCOL),
    model=MODEL,
    learner=LEARNER,
    quiet=True,
  )


def test_records_are_those_of_the_loop(results, dataset):
  protocol = al_jax.Protocol(**PROTOCOL)
  facts = program.facts_of(dataset, protocol.budget)
  system = al_jax.build('margin', facts, model=MODEL, learner=LEARNER)
  compiled = program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids
  )
  oracle = al_jax.SimulatedOracle(dataset.train.targets, dataset.task)
  alone = loop.run_rounds(compiled, oracle, protocol, [1])
  found = [
    row for row in results.records if row.system == 'margin' and row.seed == 1
  ]
  assert [records.deterministic(row) for row in found] == [
    records.deterministic(row) for row in alone
  ]


def test_a_strategy_of_ones_own_goes_by_its_name(results):
  rows = [row for row in results.records if row.system == 'lowest_first']
  assert [(row.seed, row.round) for row in rows] == [
    (0, 0),
    (0, 1),
    (1, 0),
    (1, 1),
  ]
  for row in rows[::2]:
    assert row.picks == sorted(row.picks) and max(row.picks) < 15


def test_records_and_the_table_tell_which_parts_are_ones_own(results):
  told = {row.system: row.parts for row in results.records}
  mine = f'{__name__}.lowest_first'
  own = {'strategy': mine}
  assert told == {'random': {}, 'margin': {}, 'lowest_first': own}
  assert f'Parts of lowest_first: strategy {mine}.' in results.table


def test_table_and_figure(results, tmp_path):
  assert 'minus random' in results.table and str(results) == results.table
  assert repr(results) == 'Results(12 records of random, margin, lowest_first)'
  results.figure().savefig(tmp_path / 'curves.png')
  assert (tmp_path / 'curves.png').stat().st_size > 10_000
  shown = results._repr_html_()
  assert shown.startswith('<img src="data:image/png;base64,')
  assert shown.endswith('</pre>') and 'lowest_first' in shown


def test_without_a_test_split_there_is_no_figure(results):
  rows = [a_record(test={})]
  none = direct.Results(rows, results.headline, 'a pool')
  assert none.figure() is None
  assert none._repr_html_() == f'<pre>{none.table}</pre>'


def test_observers_are_told(dataset):
  class Watching:
    def __init__(self):
      self.rows = []

    def on_record(self, record):
      self.rows.append(record)

  watching = Watching()
  results = al_jax.run(
    'random',
    dataset,
    protocol={**PROTOCOL, 'rounds': 1},
    model=MODEL,
    learner=LEARNER,
    observers=[watching],
    oracle={'noise': 0.1},
    quiet=True,
  )
  assert watching.rows == list(results.records) and len(watching.rows) == 1


class Small(nn.Module):
  @nn.compact
  def __call__(self, inputs):
    return nn.Dense(10)(inputs.reshape(len(inputs), -1))


def quick(model, facts):
  return learners.supervised(model, facts, stop={'epochs': 1})


def test_model_and_learner_may_be_ones_own_too(dataset):
  results = al_jax.run(
    {
      'quick+first': {'learner': quick, 'strategy': lowest_first()},
      'quick': {'learner': quick, 'strategy': 'margin'},
      'fast+margin': {'learner': quick, 'strategy': 'margin'},
    },
    dataset,
    protocol={**PROTOCOL, 'rounds': 1},
    model=Small(),
    quiet=True,
  )
  found = [(row.system, row.steps) for row in results.records]
  assert found == [
    ('quick+first', 1),
    ('quick+margin', 1),
    ('fast+margin', 1),
  ]


def weighted(*, power: float = 1.0) -> Strategy:
  """Asks in the order of the pool, whatever the power."""
  assert power in (1.0, 2.0)
  return Strategy(lambda facts: (), None, _first)


def by_position(power=1.0):
  return weighted(power=power)


def test_functions_of_ones_own_take_the_options_that_they_have(dataset):
  got = []

  def noting(*, power=1.0):
    got.append(('strategy', power))
    return lowest_first()

  def counting(model, facts, *, epochs=9):
    got.append(('learner', epochs))
    return quick(model, facts)

  al_jax.run(
    {'c': {'learner': counting, 'strategy': noting}},
    dataset,
    protocol={**PROTOCOL, 'rounds': 1},
    model=MODEL,
    learner={'epochs': 1},
    strategy={'power': 2.0},
    quiet=True,
  )
  assert got == [('learner', 1), ('strategy', 2.0)]


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'systems': []}, 'systems is empty; name one or more'),
    ({'systems': 'rndom'}, "'rndom' is not known. Did you mean 'random'"),
    ({'systems': ['margin', 'supervised+margin']}, "has 'margin' twice"),
    ({'systems': [lowest_first()]}, 'a Strategy without a name: pass {'),
    ({'systems': {'a': {'stratgy': 1}}}, "Did you mean 'strategy'"),
    (
      {'systems': {'mine': lowest_first}, 'strategy': {'draw': 'power'}},
      "strategy has no option 'draw' for the systems mine: it is one of",
    ),
    ({'systems': 3}, 'systems is 3; it must be names of systems'),
    (
      {'systems': {'mine': 'margin'}},
      "'mine' for 'margin'; a system of",
    ),
    (
      {'learner': quick},
      'learner is a learner of yours; it is a',
    ),
    ({'systems': {'random': lowest_first}}, "'random' is a published system"),
    ({'protocol': {'round': 3}}, "no option 'round'. Did you mean 'rounds'"),
    ({'protocl': {}}, "'protocl' is not known. Did you mean 'protocol'"),
    ({'full_labels': True}, 'full_labels is for `al-jax run`'),
    ({'grid': {}}, 'grid is for `al-jax run`'),
    ({'workdir': 'runs'}, 'has no workdir, because it writes nothing to disk'),
    (
      {'systems': [weighted], 'strategy': {'pwer': 2.0}},
      "strategy has no option 'pwer'. Did you mean 'power'",
    ),
    (
      {'systems': {'m': weighted(power=2.0)}, 'strategy': {'power': 3.0}},
      "strategy has no option 'power'",
    ),
    (
      {'systems': {'m': functools.partial(weighted, power=2.0)}}
      | {'strategy': {'power': 3.0}},
      "strategy has no option 'power'",
    ),
    (
      {'systems': [by_position], 'strategy': {'power': 2.0}},
      "takes 'power' by position; options are keyword-only",
    ),
    (
      {'systems': {'my q': {'learner': quick, 'strategy': 'margin'}}},
      "^system 'my q' has your own part: its name must have only",
    ),
    (
      {'systems': {'q+badge': {'learner': quick, 'strategy': 'margin'}}},
      r"'q\+badge' with the strategy 'margin'; name it 'q' or 'q\+margin'",
    ),
    (
      {'systems': {'q': {'learner': quick, 'strategy': 'margin'}}}
      | {'learner': {'batch_size': 3}},
      r"learner has no option 'batch_size' for the systems q\+margin",
    ),
    ({'learner': {'batchsize': 3}}, "Did you mean 'batch_size'"),
    ({'seeds': [0, 1]}, r'^seeds is \[0, 1\]; it must be'),
  ],
)
def test_bad_input_is_refused_in_a_sentence(dataset, given, message):
  with pytest.raises(ValueError, match=message):
    al_jax.run(
      **{'systems': 'random', 'data': dataset, 'protocol': PROTOCOL, **given}
    )
