"""Experiments that differ along axes of a grid, as one."""

import pytest
from absl.testing import flagsaver

from al_jax.commands import report
from al_jax.reporting import data, merging
from tests.reporting.report_runs import Reader, a_workdir, some_rows


def a_grid(folder, *, systems=('margin',), seeds_apart=True):
  """Two managers over two orders, each order with a seed of its own."""
  for order in (0, 1):
    for manager in ('fixed', 'balanced'):
      rows = some_rows(systems=systems, seeds=1)
      if seeds_apart:
        for row in rows:
          object.__setattr__(row, 'seed', order)
      a_workdir(
        folder / f'{order}-{manager}',
        rows,
        axes={'order': str(order), 'manager': manager},
      )
  return data.read_workdir(folder)


def runs_of(experiment):
  return sorted({(row.system, row.seed) for row in experiment.rows})


def test_values_of_an_axis_are_systems_or_seeds(tmp_path):
  (found,) = merging.merged(a_grid(tmp_path), ['manager', 'order'])
  assert runs_of(found) == [
    *(('balanced', seed) for seed in (0, 1)),
    *(('fixed', seed) for seed in (0, 1)),
  ]
  assert found.axes == {} and found.order == ('balanced', 'fixed')


def test_other_axes_stay(tmp_path):
  found = merging.merged(a_grid(tmp_path), ['manager'])
  assert [each.axes for each in found] == [{'order': '0'}, {'order': '1'}]
  assert [each.title for each in found] == ['order 0', 'order 1']
  assert runs_of(found[1]) == [('balanced', 1), ('fixed', 1)]


def test_several_systems_keep_their_names_behind_the_value(tmp_path):
  of = a_grid(tmp_path, systems=('random', 'margin'))
  found = merging.merged(of, ['manager'])
  assert found[0].systems == [
    'balanced random',
    'balanced margin',
    'fixed random',
    'fixed margin',
  ]


def test_without_axes_nothing_is_merged(tmp_path):
  of = a_grid(tmp_path)
  assert merging.merged(of, []) == of


def test_what_cannot_be_merged_is_refused(tmp_path):
  of = a_grid(tmp_path / 'grid')
  with pytest.raises(ValueError, match=r"'mangaer'.*Did you mean 'manager'"):
    merging.merged(of, ['mangaer'])
  single = data.read_workdir(a_workdir(tmp_path / 'single', some_rows()))
  with pytest.raises(ValueError, match='there is no grid here'):
    merging.merged(single, ['manager'])


GRID = {
  'order': {'0': {'first_seed': 0}, '1': {'first_seed': 1}},
  'manager': {'fixed': {'stream': {}}, 'balanced': {'stream': {}}},
}


def test_a_grid_says_what_has_seeds_of_its_own(tmp_path):
  one, *_ = of = a_grid(tmp_path)
  (found,) = merging.merged(of, ['manager', 'order'], GRID)
  assert found.order == ('balanced', 'fixed')
  # Names are the same as long as there is one cell.
  (found,) = merging.merged([one], ['manager', 'order'], [GRID])
  assert found.systems == ['balanced']
  # A cell without a record yet changes nothing.
  one.rows.clear()
  (found,) = merging.merged(of, ['order', 'order', 'manager'])
  assert set(found.order) == {'balanced', 'fixed'}


def test_a_system_and_seed_that_come_twice_are_refused(tmp_path):
  of = a_grid(tmp_path, seeds_apart=False)
  message = "'order,manager', but 2 experiments have a system 'balanced' with"
  with pytest.raises(ValueError, match=message):
    merging.merged(of, ['order', 'manager'], GRID)


def test_a_run_beside_the_cells_is_named(tmp_path):
  a_grid(tmp_path)
  a_workdir(tmp_path / 'other', some_rows())
  with pytest.raises(ValueError, match='other is no cell of that grid'):
    merging.merged(data.read_workdir(tmp_path), ['manager'])


def test_the_report_says_how_it_was_made(tmp_path, capsys):
  a_grid(tmp_path)
  with flagsaver.as_parsed(
    workdir=str(tmp_path), merge='manager,order', baseline='fixed'
  ):
    assert report.main(['report']) == 0
  assert 'no difference from fixed can be tested' in capsys.readouterr().out
  page = Reader(tmp_path / 'report.html')
  command = f'--workdir={tmp_path} --baseline=fixed --merge=manager,order'
  assert command in ' '.join(page.text)
