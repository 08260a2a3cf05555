"""What a page is told of several runs, and how much of it."""

import json
import time

import pytest

from al_jax import tasks
from al_jax.pages import watching
from al_jax.pages.watching import Reader, Watch
from al_jax.storage import manifest, records, workdir
from tests.factories import a_record
from tests.pages import made


def told(reader):
  """The contents of news by name of the event; lists."""
  found = {}
  for name, content in reader.news():
    found.setdefault(name, []).append(content)
  return found


def cells(reader):
  (content,) = told(reader)['cells']
  return {cell['title']: cell for cell in content['cells']}


def a_grid(folder, names=('50', '20')):
  folder.mkdir()
  about = {'settings': list(names), 'systems': list(made.SYSTEMS)}
  manifest.write(folder / 'manifest.json', about)
  return folder


def test_two_workdirs_and_a_grid_are_watched(tmp_path):
  first = made.a_run(tmp_path / 'first', made.the_rows())
  second = made.a_run(tmp_path / 'second', made.the_rows(['badge']))
  grid = a_grid(tmp_path / 'grid')
  made.a_run(
    grid / '50', made.the_rows(), made.an_about(finished='2026-01-01T01:00:00Z')
  )
  reader = Reader(Watch([first, second, grid]))
  found = cells(reader)
  assert list(found) == [
    str(first),
    str(second),
    f'{grid}: 50',
    f'{grid}: 20',
  ]
  states = [cell['state'] for cell in found.values()]
  assert states == ['killed', 'killed', 'finished', 'waiting']
  # A system has the same colour wherever it is.
  colours = {
    system['name']: system['colour']
    for cell in found.values()
    for system in cell['systems']
  }
  assert colours == {'random': 0, 'margin': 1, 'badge': 2}
  assert told(reader) == {}
  made.a_run(grid / '20', made.the_rows()[:1])
  assert [new['cell'] for new in told(reader)['records']] == [3]


def test_cells_of_a_grid_that_runs_are_still_to_come(tmp_path):
  grid = tmp_path / 'grid'
  with workdir.Workdir(grid):
    manifest.write(grid / 'manifest.json', {'settings': ['a', 'b', 'c']})
    made.a_run(grid / 'a', made.the_rows()[:1], live=[made.begin()])
    with workdir.Workdir(grid / 'b'):
      made.a_run(grid / 'b', made.the_rows()[:1], live=[made.begin()])
      states = [cell['state'] for cell in cells(Reader(Watch([grid]))).values()]
  assert states == ['waiting', 'running', 'waiting']
  states = [cell['state'] for cell in cells(Reader(Watch([grid]))).values()]
  assert states == ['killed', 'killed', 'waiting']


def test_a_folder_of_runs_is_watched_as_it_fills(tmp_path):
  made.a_run(tmp_path / 'b')
  reader = Reader(Watch([tmp_path]))
  assert list(cells(reader)) == [f'{tmp_path}/b']
  made.a_run(tmp_path / 'a')
  assert list(cells(reader)) == [f'{tmp_path}/b', f'{tmp_path}/a']


def test_a_folder_that_is_not_there_yet_waits(tmp_path):
  folder = tmp_path / 'later'
  reader = Reader(Watch([folder]))
  ((title, cell),) = cells(reader).items()
  assert (title, cell['state']) == (str(folder), 'waiting')
  assert 'no such folder yet' in cell['notes'][0]
  made.a_run(folder, made.the_rows()[:1])
  cell = cells(reader)[str(folder)]
  assert cell['notes'] == [] and cell['done'] == 1
  assert (cell['total'], cell['seeds'], cell['rounds']) == (12, 2, 3)


def test_a_grid_takes_the_place_of_the_folder_that_waited(tmp_path):
  reader = Reader(Watch([tmp_path / 'grid']))
  assert list(cells(reader)) == [str(tmp_path / 'grid')]
  grid = a_grid(tmp_path / 'grid')
  found = cells(reader)
  assert list(found) == [f'{grid}: 50', f'{grid}: 20']
  assert [cell['number'] for cell in found.values()] == [1, 2]
  assert all(cell['notes'] == [] for cell in found.values())


def test_the_unit_of_what_training_watches_is_that_of_its_metric(tmp_path):
  parts = {'kind': tasks.numbered(3), 'place': tasks.Vector(2)}
  for name, task, unit in (
    ('parts', tasks.Mixed(tuple(parts.items())), '%'),
    ('numbers', tasks.Vector(2), ''),
  ):
    about = made.an_about()
    about['data']['task'] = tasks.to_json(task)
    made.a_run(tmp_path / name, about=about)
    (cell,) = cells(Reader(Watch([tmp_path / name]))).values()
    assert cell['watched_unit'] == unit


@pytest.mark.parametrize('name', ['../secret', '/tmp', 'link', '..', ''])
def test_a_manifest_leads_nowhere_else(tmp_path, name):
  made.a_run(tmp_path / 'secret', made.the_rows())
  grid = a_grid(tmp_path / 'grid', [name])
  (grid / 'link').symlink_to(tmp_path / 'secret')
  assert told(Reader(Watch([grid])))['cells'] == [{'cells': []}]


@pytest.mark.parametrize(
  ('folders', 'message'),
  [
    (['absent/run'], r"WORKDIR is '.*absent/run', which is not a folder"),
    (['file'], r"WORKDIR is '.*file', which is not a folder"),
    (['', '.'], r'WORKDIR names a folder twice'),
  ],
)
def test_folders_that_cannot_be_watched_are_refused(tmp_path, folders, message):
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match=message):
    Watch([tmp_path / name for name in folders])


def test_rows_have_what_the_page_reads(tmp_path):
  made.a_run(
    tmp_path,
    made.the_rows(seeds=1, ledger={'person': 20.0, 'price': 0.8})[:2],
    live=[made.begin(), made.progress(7), made.progress(8, system='gone')],
  )
  news = told(Reader(Watch([tmp_path])))
  (new,) = news['records']
  assert new == {
    'cell': 0,
    'anew': True,
    'rows': [[0, 0, 0, 10, 0.5, 1.0, 2.0], [0, 0, 1, 20, 0.6, 0.5, 2.0]],
  }
  (new,) = news['progress']
  (row,) = new['rows']  # a system that no manifest has is left out
  assert row[:5] == [0, 0, 0, 10, 7] and row[6:] == [0.5, 0.5]
  (details,) = news['details']
  assert details['ledger'] == {
    'titles': ['system', 'answered by people', 'price'],
    'rows': [['random', '20', '0.80']],
  }
  (cell,) = news['cells'][0]['cells']
  assert (cell['score'], cell['unit']) == ('test accuracy', '%')
  assert (cell['watched'], cell['watched_unit']) == ('accuracy', '%')


def test_what_is_not_finite_is_no_number_on_the_page(tmp_path):
  rows = [a_record(accuracy=float('nan'), train={'loss': float('inf')})]
  made.a_run(tmp_path, rows)
  ((row,),) = [
    new['rows'] for new in told(Reader(Watch([tmp_path])))['records']
  ]
  assert row[4] is None and row[5] is None
  json.dumps(row, allow_nan=False)


def test_the_command_that_resumes_a_run_does_not_delete_it(tmp_path):
  command = "al-jax run --overwrite --config.a='{1: 2}' --workdir=a"
  made.a_run(tmp_path, about=made.an_about(command=command))
  (cell,) = cells(Reader(Watch([tmp_path]))).values()
  assert cell['command'] == "al-jax run '--config.a={1: 2}' --workdir=a"


def test_without_a_test_split_curves_are_of_the_validation_split(tmp_path):
  rows = [a_record(test={}, validation={'accuracy': 0.25})]
  made.a_run(tmp_path, rows)
  news = told(Reader(Watch([tmp_path])))
  assert news['cells'][0]['cells'][0]['score'] == 'validation accuracy'
  assert news['records'][0]['rows'][0][4] == 0.25


def test_ten_thousand_records_are_read_once_and_told_once(tmp_path, capsys):
  rows = made.the_rows(
    [f'system_{number}' for number in range(10)],
    seeds=10,
    rounds=100,
    picks=list(range(50)),
    pick_ids=list(range(50)),
  )
  assert len(rows) == 10_000
  made.a_run(tmp_path, rows)
  watch = Watch([tmp_path])
  begin = time.perf_counter()
  reader = Reader(watch)
  news = reader.news()
  first = time.perf_counter() - begin
  size = len(json.dumps(news))
  times = []
  for _ in range(5):
    begin = time.perf_counter()
    assert reader.news() == []
    times.append(time.perf_counter() - begin)
  later = a_record('system_0', 0, 5000, round=500)
  records.append_jsonl(tmp_path / 'records.jsonl', later)
  begin = time.perf_counter()
  new = reader.news()
  one = time.perf_counter() - begin
  with capsys.disabled():
    print(
      f'\n10,000 records: {first * 1e3:.0f} ms and {size:,} bytes at first, '
      f'{min(times) * 1e3:.1f} ms without news, {one * 1e3:.1f} ms and '
      f'{len(json.dumps(new)):,} bytes for one more'
    )
  assert size < 1_000_000 and len(json.dumps(new)) < 20_000
  # On any machine: not what a first look takes.
  assert min(times) < first / 2


def test_only_pictures_of_the_folder_are_listed(tmp_path):
  (tmp_path / 'old.png').write_bytes(b'old')
  (tmp_path / 'a.txt').write_bytes(b'')
  (tmp_path / 'link.png').symlink_to(tmp_path / 'a.txt')
  (tmp_path / 'folder.png').mkdir()
  assert list(watching.sheet_names(tmp_path)) == ['old.png']
  assert watching.sheet_names(tmp_path / 'absent') == {}
