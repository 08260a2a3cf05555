"""The sentence at the head of the page, and the warnings below it."""

import pytest

from al_jax.reporting import conclusion, results
from al_jax.reporting.page import Text
from tests.factories import a_record
from tests.reporting.report_runs import an_experiment


def rows_of_gaps(gaps, *, seeds=5, labels=(100, 200)):
  """Systems that are so many points above random, more or less by seed."""
  return [
    a_record(system, seed, count, 0.5 + seed / 50 + (gap + (seed % 3)) / 100)
    if system != 'random'
    else a_record(system, seed, count, 0.5 + seed / 50)
    for system, gap in {'random': 0, **gaps}.items()
    for seed in range(seeds)
    for count in labels
  ]


def said(tmp_path, rows, **changes):
  found = an_experiment(tmp_path / 'run', rows, systems=[], **changes)
  return conclusion.sentence(found, 'random')


def test_it_says_who_is_above_who_is_below_and_who_is_neither(tmp_path):
  rows = rows_of_gaps({'margin': 4, 'badge': 7, 'core_set': -9, 'bald': -1})
  # 0, 1, 2, 0, 1 more: 0.8 ± 0.374, and so t = 4.8 / 0.374 for margin.
  assert said(tmp_path, rows, config={}) == (
    'After 200 labels, over 5 seeds, badge is 7.8 points above random '
    '(p < 0.001), margin 4.8 (p < 0.001); core_set is 8.2 points below random '
    '(p < 0.001); bald does not differ significantly from it; p after '
    "Holm's correction."
  )


def test_p_is_holms_as_the_decision_is(tmp_path):
  # 1, 2, 3 points: t = 2 * sqrt(3), of two degrees of freedom.
  rows = rows_of_gaps({'margin': 1, 'badge': 1}, seeds=3)
  assert said(tmp_path, rows, config={}) == (
    'After 200 labels, over 3 seeds, no system differs significantly from '
    "random (smallest p after Holm's correction: 0.148)."
  )
  # It alone would be below 0.05; of two systems it is not.
  rows = rows_of_gaps({'margin': 1.6, 'badge': 0}, seeds=3)
  assert said(tmp_path / 'two', rows, config={}).endswith('correction: 0.092).')
  rows = rows_of_gaps({'margin': 1.6}, seeds=3)
  assert 'random (p = 0.046).' in said(tmp_path / 'one', rows, config={})


def test_one_seed_tells_nothing_apart(tmp_path):
  rows = rows_of_gaps({'margin': 20}, seeds=1)
  assert said(tmp_path, rows, config={}) == (
    'After 200 labels, over 1 seed, no difference from random can be tested.'
  )


@pytest.mark.parametrize(
  'rows',
  [
    [a_record('random')],
    [a_record('random', 0, 10), a_record('margin', 0, 20)],
    [a_record('random', 0), a_record('margin', 1)],
  ],
  ids=['only random', 'no labels', 'no seed'],
)
def test_what_cannot_be_compared_is_said(tmp_path, rows):
  text = said(tmp_path, rows, config={})
  assert text == 'Nothing here can be compared with random.'


def test_without_the_baseline_others_are_named(tmp_path):
  text = said(tmp_path / 'one', [a_record('margin')], config={})
  assert text == 'There is no random here: run it too, to compare with it.'
  rows = [a_record('margin'), a_record('badge')]
  assert said(tmp_path / 'two', rows, config={}) == (
    'There is no random here: run it too, to compare with it, or compare with '
    'another system: --baseline=margin.'
  )


def test_networks_that_learn_nothing_are_no_finding(tmp_path):
  rows = [
    a_record(system, seed, 100, accuracy)
    for system, accuracy in (('random', 0.2), ('margin', 0.6))
    for seed in range(5)
  ]
  found = an_experiment(
    tmp_path / 'run',
    rows,
    systems=[],
    config={},
    data={
      'name': 'wine',
      'fingerprint': '',
      'train': 1,
      'test': 1,
      'num_classes': 3,
      'majority': {'test': 0.6},
    },
  )
  parts = conclusion.parts([found], baseline='random', not_begun=[])
  assert parts[0].text == (
    'After 100 labels, over 5 seeds, no difference from random can be tested: '
    'every difference is the same for all seeds.'
  )
  (warning,) = [part.text for part in parts if part.kind == 'warning']
  assert 'no better than the most frequent class' in warning
  curves = results.parts(found, 'random')['Learning curves']
  assert curves[0].kind == 'warning'
  assert 'random (5 of 5 seeds), margin (5 of 5 seeds)' in curves[0].text


def test_rounds_that_asked_less_are_pointed_to(tmp_path):
  protocol = {'rounds': 3, 'labels_per_round': 9, 'label_budget': None}
  rows = [
    a_record('bgadl', 0, 10, round=number, picks=picks, pick_ids=picks)
    for number, picks in enumerate(([1], [], []))
  ]
  config = {'synthesis': {'name': 'prior'}, 'protocol': protocol}
  found = an_experiment(tmp_path / 'run', rows, systems=[], config=config)
  parts = conclusion.parts([found], baseline='random', not_begun=[])
  (warning,) = [part.text for part in parts if part.kind == 'warning']
  assert warning == (
    'Some rounds made fewer queries than planned: see Learning curves.'
  )
  note, *_ = results.parts(found, 'random')['Learning curves']
  assert 'in 2 of 2 rounds, and none at all in 1' in note.text


CHEATING = 'supervised+experiments.cheating.true_loss_that_cheats'


def test_who_cheats_is_no_method(tmp_path):
  gaps = {CHEATING: 9, 'margin': 4}
  experiments = [
    an_experiment(
      tmp_path / name,
      rows_of_gaps(gaps),
      systems=[],
      config={},
      axes={'a': name},
    )
    for name in 'xy'
  ]
  short = 'supervised+true_loss_that_cheats'
  assert conclusion.sentence(experiments[0], 'random') == (
    'After 200 labels, over 5 seeds, margin is 4.8 points above random '
    '(p < 0.001).'
  )
  assert conclusion.sentence_of_grid(experiments, 'random') == (
    'At the last number of labels margin is above random in 2 of 2 experiments.'
  )
  _, _, note = conclusion.parts(experiments, baseline='random', not_begun=[])
  assert note.kind == 'note' and f'not methods: {short}.' in note.text
  # It has a row, which is not the best, and is not compared over experiments.
  table, _ = results.parts(experiments[0], 'random')['Results']
  assert [row['system'] for row in table.rows] == ['random', short, 'margin']
  accuracy = table.columns[3]
  assert [accuracy.is_bold(row) for row in table.rows] == [False, False, True]
  assert list(experiments[0].compared().runs) == ['random', 'margin']


def test_a_long_list_is_cut(tmp_path):
  rows = rows_of_gaps({f'system_{n}': 10 + n for n in range(7)})
  assert said(tmp_path, rows, config={}).endswith(
    "and 2 more; p after Holm's correction."
  )


def test_a_run_that_goes_on_is_so_far(tmp_path):
  found = an_experiment(
    tmp_path / 'run',
    rows_of_gaps({'margin': 9}),
    systems=['random', 'margin', 'badge'],
    config={},
  )
  parts = conclusion.parts([found], baseline='random', not_begun=[])
  assert parts[0].kind == 'conclusion'
  assert parts[0].text.startswith('So far, after 200 labels')
  assert [part.text for part in parts if part.kind == 'warning'] == [
    'Not complete. The page shows the results so far.'
  ]


def test_a_grid_counts_experiments(tmp_path):
  grid = [
    an_experiment(
      tmp_path / name,
      rows_of_gaps(gaps),
      systems=[],
      config={},
      axes={'a': name},
    )
    for name, gaps in (
      ('one', {'margin': 5, 'badge': 9}),
      ('two', {'margin': -9, 'badge': 9}),
      ('three', {'badge': -1}),
    )
  ]
  assert conclusion.sentence_of_grid(grid, 'random') == (
    'At the last number of labels badge is above random in 2 of 3 experiments, '
    'margin in 1 of 2; margin is below random in 1 of 2 experiments.'
  )
  assert conclusion.sentence_of_grid(grid[2:], 'random') == (
    'No system differs significantly from random in a complete experiment.'
  )
  assert conclusion.sentence_of_grid(grid, 'entropy') == (
    'There is no entropy here: run it too, to compare with it, or compare with '
    'another system: --baseline=random.'
  )
  parts = conclusion.parts(grid, baseline='random', not_begun=['four'])
  assert Text('Not started: four.', 'warning') in parts


def test_of_a_stream_it_goes_by_what_was_known_of_it(tmp_path):
  rows = [
    a_record(
      system,
      seed,
      labels,
      0.5,
      batch={
        'seen': 100,
        'passed': 100,
        'label_rate': 0.1,
        'prequential_accuracy': 0.5 + gap * (1 + seed / 10),
      },
    )
    # They asked about different numbers of examples.
    for system, labels, gap in (('random', 10, 0), ('margin', 20, 0.1))
    for seed in range(5)
  ]
  assert said(tmp_path, rows, config={}) == (
    'By prequential accuracy on the stream, over 5 seeds, margin is 12.0 '
    'points above random (p < 0.001).'
  )
  found = an_experiment(tmp_path / 'other', rows, systems=[], config={})
  assert conclusion.sentence_of_grid([found, found], 'random') == (
    'By prequential accuracy on the stream margin is above random in 2 of 2 '
    'experiments.'
  )
