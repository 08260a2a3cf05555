"""Projects: batches, answers, and what a killed process leaves."""

import os
import re

import numpy as np
import pytest

from al_jax import labelling
from al_jax.labelling import (
  Answer,
  account,
  asking,
  estimating,
  history,
  project,
  proposing,
  stopping,
)

CLASSES = ('low', 'high')
# A few steps are enough to have a model.
CONFIG = {'learner': {'stop': {'steps': 30}}}


@pytest.fixture(scope='module')
def pool(tmp_path_factory):
  """Embeddings of two classes, by the sign of the first number."""
  path = tmp_path_factory.mktemp('pool') / 'x.npy'
  values = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
  np.save(path, values)
  return path, values


@pytest.fixture
def state(tmp_path, pool):
  """A project that has begun."""
  folder = tmp_path / 'state'
  labelling.begin(folder, f'file:{pool[0]}', CLASSES, config=CONFIG)
  return folder


def answers_to(batch, pool, number=None):
  """What somebody who knows says of the first queries of a batch."""
  names = [query.id for query in batch.queries[:number]]
  return [
    Answer(name, CLASSES[int(pool[1][int(name), 0] > 0)]) for name in names
  ]


def test_batches_are_of_examples_that_nobody_was_asked_before(state, pool):
  seen, accuracies = [], []
  for number in range(1, 4):
    batch = labelling.propose(state, 10)
    assert batch.is_new
    assert batch.number == number
    assert len(batch.queries) == 10
    seen += [query.id for query in batch.queries]
    accuracies.append(batch.estimate)
    taken = labelling.tell(state, answers_to(batch, pool))
    assert len(taken.new) == 10

  assert len(set(seen)) == 30
  assert accuracies[0] is None
  assert accuracies[1]['labels'] == 10
  # Nothing but the first batch was drawn.
  assert [each['is_drawn'] for each in accuracies[1:]] == [True, False]
  assert accuracies[2]['folds'] == estimating.FOLDS
  assert batch.queries[0].predicted in CLASSES
  assert 0.5 <= batch.queries[0].probability < 1
  values = [query.value for query in batch.queries]
  assert values == sorted(values, reverse=True)
  found = labelling.status(state)
  assert len(found.account.labels) == 30
  assert found.num_examples == 120
  assert 'kappa' in found.hint


def test_a_batch_stands_until_something_is_told(state, pool):
  first = labelling.propose(state, 10)
  again = labelling.propose(state, 7)

  assert not again.is_new
  assert again.queries == first.queries
  others = labelling.propose(state, 7, more=True)
  assert others.is_new
  names = {query.id for query in [*first.queries, *others.queries]}
  assert len(names) == 17

  labelling.tell(state, answers_to(first, pool, 4))
  after = labelling.propose(state, 5)
  assert after.is_new
  assert not names & {query.id for query in after.queries}
  assert len(labelling.status(state).account.pending) == 6 + 7 + 5


def test_the_same_answers_give_the_same_batch(state, pool, tmp_path):
  labelling.tell(state, answers_to(labelling.propose(state, 10), pool))
  other = tmp_path / 'other'
  labelling.begin(other, f'file:{pool[0]}', CLASSES, config=CONFIG)
  labelling.tell(other, answers_to(labelling.propose(other, 10), pool))

  first, second = (labelling.propose(each, 8) for each in (state, other))
  assert first == second


def test_who_cannot_tell_is_not_asked_again_and_teaches_nothing(state, pool):
  batch = labelling.propose(state, 10)
  given = answers_to(batch, pool)
  given[0] = given[0]._replace(label=labelling.SKIP)
  given[1] = given[1]._replace(label=labelling.UNSURE)
  labelling.tell(state, given)

  now = project.of(state)
  found = proposing.pool_of(now, asking.load_pool(now))
  assert np.count_nonzero(found.annotator == 1) == 8
  asked = {query.id for query in labelling.propose(state, 110).queries}
  assert not asked & {query.id for query in batch.queries}


def test_answers_can_be_taken_back_and_queries_given_up(state, pool):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool, 3))
  last = batch.queries[2].id
  labelling.withdraw(state, [last])

  assert len(project.of(state).labels) == 2
  assert last in project.of(state).pending
  with pytest.raises(ValueError, match='has no answer by'):
    labelling.withdraw(state, [last])
  assert len(labelling.give_up(state)) == 8
  assert not project.of(state).pending
  # What comes late is taken all the same.
  labelling.tell(state, answers_to(batch, pool)[4:5])
  assert len(project.of(state).labels) == 3
  everything = labelling.propose(state, 500)
  assert len(everything.queries) == 120 - 3


def test_nothing_is_written_if_one_answer_is_wrong(state, pool):
  batch = labelling.propose(state, 10)
  before = (state / history.NAME).read_bytes()
  given = [*answers_to(batch, pool), Answer('999', 'low')]

  with pytest.raises(labelling.AnswersError, match='no such example'):
    labelling.tell(state, given)

  assert (state / history.NAME).read_bytes() == before


def test_a_line_without_an_end_never_happened(state, pool):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool, 5))
  path = state / history.NAME
  whole = path.read_bytes()
  path.write_bytes(whole + b'{"event": "told", "at": "2026", "answ')

  assert len(project.of(state).labels) == 5
  labelling.tell(state, answers_to(batch, pool))
  assert path.read_bytes().startswith(whole)
  assert len(project.of(state).labels) == 10


def test_a_damaged_line_is_named(state):
  labelling.propose(state, 5)
  path = state / history.NAME
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b'garbage\n'.join(lines))

  with pytest.raises(ValueError, match='line 2, is not an event'):
    labelling.status(state)


def test_examples_may_come_to_a_pool_and_none_may_go(state, pool, tmp_path):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool))
  path, values = pool
  try:
    np.save(path, np.concatenate([values, values[:5] + 1]))
    assert len(labelling.propose(state, 10).queries) == 10
    assert labelling.status(state).num_examples == 125
    np.save(path, values[:3])
    with pytest.raises(ValueError, match=r'has lost \d+ queried'):
      labelling.propose(state, 10, more=True)
  finally:
    np.save(path, values)


def test_fields_may_change_between_batches(state, pool):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool))

  labelling.propose(state, 5, config={'systems': ['core_set']})

  now = project.of(state)
  assert now.config['systems'] == ['core_set']
  assert now.config['learner']['stop']['steps'] == 30


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'seeds': 3}, 'config.seeds is 3; it is for al-jax run'),
    ({'protocol': {'rounds': 3}}, 'config.protocol.rounds is 3'),
    ({'systems': ['margin', 'badge']}, 'names 2 systems, margin, badge'),
    ({'systems': ['albl']}, 'needs the answers to earlier queries'),
    ({'strategy': {'nix': 1}}, "option 'nix'"),
    ({'oracle': {'noise': 0.1}}, 'config.oracle is'),
    ({'nobody': {'reads': 1}}, "config field 'nobody'"),
  ],
)
def test_what_nothing_reads_is_refused(state, change, said):
  with pytest.raises(ValueError, match=re.escape(said)):
    labelling.propose(state, 5, config=change)


@pytest.mark.parametrize(
  ('classes', 'said'),
  [
    (['cat'], 'must be two or more names'),
    (['cat', 'skip'], "has 'skip', which is the answer to an example"),
    (['cat', 'cat'], "has 'cat' twice"),
    ('cat,dog', 'must be two or more names'),
    (['', 'dog'], 'one line, not empty'),
    (['cat ', 'dog'], 'without spaces at its ends'),
    (None, 'classes is None'),
  ],
)
def test_classes_are_checked(tmp_path, pool, classes, said):
  with pytest.raises(ValueError, match=said):
    labelling.begin(tmp_path / 'new', f'file:{pool[0]}', classes)


def test_a_folder_has_one_project(state, pool, tmp_path):
  with pytest.raises(ValueError, match='has a project already'):
    labelling.begin(state, f'file:{pool[0]}', CLASSES)
  with pytest.raises(ValueError, match='has no labelling project'):
    labelling.status(tmp_path)


def test_an_answer_is_on_disk_before_anybody_is_told(state, monkeypatch):
  forced = []
  monkeypatch.setattr(os, 'fsync', forced.append)

  labelling.propose(state, 5)

  assert forced


@pytest.mark.parametrize(
  ('first', 'second', 'kappa'),
  [
    ([0, 1, 0, 1], [0, 1, 0, 1], 1.0),
    ([0, 1, 0, 1], [0, 1, 1, 0], 0.0),
    # 0.7 agree, 0.5 by chance: (0.7 - 0.5) / 0.5.
    ([0] * 5 + [1] * 5, [0] * 4 + [1] * 4 + [0] * 2, 0.4),
  ],
)
def test_agreement_is_beyond_chance(first, second, kappa):
  assert stopping.agreement(first, second) == pytest.approx(kappa)


def test_one_class_alone_says_nothing_of_agreement():
  assert np.isnan(stopping.agreement(np.full(4, 2), np.full(4, 2)))


@pytest.mark.parametrize(
  ('changes', 'number'),
  [
    ({}, 3),
    # Nothing was told between the second and the third.
    ({2: {'labels': 1}}, 2),
    # The pool grew: those before cannot be compared.
    ({2: {'pool': 101}, 3: {'pool': 101}}, 1),
    ({2: {'watched': [0] * 4}, 3: {'watched': [0] * 4}}, 0),
  ],
)
def test_models_that_cannot_be_compared_do_not_count(changes, number):
  batches = []
  for at in range(4):
    said = {'watched': [0, 1, 0, 1], 'labels': at, 'pool': 100}
    batches.append(account.Asked(at, '', [], {**said, **changes.get(at, {})}))

  found = stopping.agreements(account.Account({}, {}, batches=batches))

  assert len(found) == number


def test_answers_do_not_move_to_other_examples(state, pool):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool))
  path, values = pool
  try:
    np.save(path, values[::-1].copy())
    with pytest.raises(ValueError, match='have changed since they were asked'):
      labelling.propose(state, 10)
  finally:
    np.save(path, values)


def test_a_change_of_the_config_is_never_dropped(state):
  labelling.propose(state, 5)

  with pytest.raises(ValueError, match='the config changes, but no answer'):
    labelling.propose(state, 5, config={'systems': ['core_set']})


def test_batches_that_were_drawn_say_so(state, pool):
  labelling.propose(state, 6)
  others = labelling.propose(state, 6, more=True)
  assert others.is_drawn
  labelling.tell(state, answers_to(others, pool))
  batch = labelling.propose(state, 5, config={'systems': ['random']})
  assert batch.is_drawn
  labelling.tell(state, answers_to(batch, pool))
  chosen = labelling.propose(state, 5, config={'systems': ['margin']})
  assert not chosen.is_drawn
  assert chosen.estimate['is_drawn']


def test_the_history_may_lack_its_last_end_of_line(state, pool):
  batch = labelling.propose(state, 10)
  labelling.tell(state, answers_to(batch, pool, 5))
  path = state / history.NAME
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])

  assert len(project.of(state).labels) == 5
  labelling.tell(state, answers_to(batch, pool))
  assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize(
  'line', ['{"event": "foo", "at": ""}', '{"event": "told", "at": ""}', '[1]']
)
def test_events_that_are_none_are_named(state, line):
  path = state / history.NAME
  path.write_text(path.read_text() + line + '\n{"event":"told"}\n')

  with pytest.raises(ValueError, match='line 2, is not an event'):
    labelling.status(state)


def test_two_that_begin_at_once_make_one_project(tmp_path, pool, monkeypatch):
  folder = tmp_path / 'state'
  load = asking.data.load

  def slow(spec):
    loaded = load(spec)
    monkeypatch.setattr(asking.data, 'load', load)
    labelling.begin(folder, f'file:{pool[0]}', CLASSES)
    return loaded

  monkeypatch.setattr(asking.data, 'load', slow)
  with pytest.raises(ValueError, match='has a project already'):
    labelling.begin(folder, f'file:{pool[0]}', CLASSES)
  assert len(history.read(folder)) == 1


def test_nothing_is_pending_before_a_first_batch(state):
  dataset = asking.load_pool(project.of(state))

  with pytest.raises(ValueError, match='nothing was asked yet'):
    asking.pending(state, dataset)


def test_what_is_pending_can_be_had_again(state, pool):
  first = labelling.propose(state, 6)
  labelling.tell(state, answers_to(first, pool, 4))
  second = labelling.propose(state, 3)

  dataset = asking.load_pool(project.of(state))
  waiting = asking.pending(state, dataset)

  assert waiting.queries == [*first.queries[4:], *second.queries]


def test_the_hint_says_when_predictions_no_longer_change():
  same = list(range(10)) * 10
  other = [*same[:90], *[0] * 10]

  def said(*watched):
    batches = [
      account.Asked(0, '', [], {'watched': each, 'labels': number, 'pool': 100})
      for number, each in enumerate(watched)
    ]
    return stopping.hint(account.Account({}, {}, batches=batches))

  assert not said([], same)
  assert 'still change' in said([], other, same, same, same)
  assert 'last 4 batches agree' in said([], other, same, same, same, same)
