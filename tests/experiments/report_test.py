"""The binary, and the page as a whole."""

import base64
import csv
import html.parser
import json
import math
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

from al_jax import records
from experiments import (
  report,
  report_costs,
  report_data,
  report_diagnostics,
  report_page,
  report_results,
  session,
)
from tests.factories import a_record

COMMAND = 'python -m experiments.compare --workdir=runs/"x" <y>'
SKILL = {'random': 0.0, 'badge': 0.2, 'margin': 0.1}
ABOUT = {
  'finished': '2026-01-01T00:00:10+00:00',
  'started': '2026-01-01T00:00:00+00:00',
  'command': COMMAND,
  'config': {'seeds': 3, 'first_seed': 0, 'model': 'mlp'},
  'systems': list(SKILL),
  'versions': {'jax': '0.0.1'},
  'device': {'platform': 'cpu', 'kind': 'cpu', 'count': 1},
  'git': {'commit': 'abc123', 'dirty': True},
}


def some_rows(*, scale=1.0, systems=SKILL, seeds=3, **changes):
  """Rounds of 10 labels; the systems differ from the second round on."""
  return [
    a_record(
      system,
      seed,
      10 * count,
      1 - scale / (1 + count * (1 + SKILL[system])) - seed / 100,
      seconds_select=SKILL[system],
      seconds_fit=1.0,
      picks=[] if count == 5 else [1],
      pick_ids=[] if count == 5 else [1],
      **changes,
    )
    for system in systems
    for seed in range(seeds)
    for count in range(1, 6)
  ]


def a_workdir(path, rows, **changes):
  path.mkdir(parents=True)
  records.write_jsonl(path / 'records.jsonl', rows)
  (path / 'manifest.json').write_text(json.dumps({**ABOUT, **changes}))
  return path


def a_setting(path, rows, **changes):
  (setting,) = report_data.read_workdir(a_workdir(path, rows, **changes))
  return setting


@pytest.fixture(scope='module')
def grid(tmp_path_factory):
  """Two batch sizes; a third that was killed; each with all there can be."""
  folder = tmp_path_factory.mktemp('runs') / 'grid'
  for batch, data, scale in ((10, 'a', 1.0), (100, 'b', 0.5)):
    axes = {'data': data, 'batch': str(batch)}
    below = folder / f'{data}_{batch}'
    a_workdir(below, some_rows(scale=scale), axes=axes)
    (below / 'diagnostics.json').write_text(
      json.dumps(
        {
          'rank correlation': {
            'x_label': 'samples',
            'y_label': 'correlation',
            'x': [1, 10, 100],
            'series': {'bald': {'mean': [0.1, 0.5, 0.9]}},
          }
        }
      )
    )
    records.write_jsonl(
      below / 'full_labels.jsonl',
      [a_record('random', seed, 5000, 0.97) for seed in range(3)],
    )
    picture = PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    picture.save(below / 'gallery_badge.png')
  killed = {key: value for key, value in ABOUT.items() if key != 'finished'}
  below = a_workdir(folder / 'a_100', some_rows(seeds=1))
  killed['axes'] = {'data': 'a', 'batch': '100'}
  (folder / 'manifest.json').write_text(
    json.dumps(
      {'settings': ['a_10', 'a_100', 'b_100', 'b_10'], 'command': COMMAND}
    )
  )
  (below / 'manifest.json').write_text(json.dumps(killed))
  report.write_report(folder)
  return folder


class Reader(html.parser.HTMLParser):
  """The text, links and pictures of a page."""

  def __init__(self, path):
    super().__init__()
    self.text, self.links, self.pictures, self.ids = [], [], [], set()
    self.feed(path.read_text(encoding='utf-8'))

  def handle_starttag(self, tag, attributes):
    attributes = dict(attributes)
    self.ids.add(attributes.get('id'))
    if tag == 'a':
      self.links.append(attributes['href'])
    if tag == 'img':
      self.pictures.append(attributes['src'])

  def handle_data(self, data):
    self.text.append(data)

  def says(self, text):
    return text in ''.join(self.text)


def rows_of(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def test_the_page_needs_nothing_from_outside(grid):
  text = (grid / 'report.html').read_text()
  # Names of XML are in the pictures, which are coded.
  assert not re.search(r'https?://|<script|<link|@import|url\(', text)
  reader = Reader(grid / 'report.html')
  assert all(src.startswith('data:image/') for src in reader.pictures)
  for src in reader.pictures:
    if 'svg' in src:
      coded = src.partition('base64,')[2]
      xml.etree.ElementTree.fromstring(base64.b64decode(coded))


def test_every_link_leads_somewhere_and_every_csv_has_a_link(grid):
  reader = Reader(grid / 'report.html')
  for link in reader.links:
    if link.startswith('#'):
      assert link[1:] in reader.ids
    else:
      assert len(rows_of(grid / link)) > 0, link
  linked = {link for link in reader.links if not link.startswith('#')}
  on_disk = {f'report/{path.name}' for path in (grid / 'report').glob('*.csv')}
  assert linked == on_disk


def test_the_page_has_all_its_parts(grid):
  reader = Reader(grid / 'report.html')
  for text in (
    'abc123, with changes',
    'jax 0.0.1',
    COMMAND,
    'python -m experiments.report --workdir=',
    'Pairwise penalty matrix',
    'Normalised errors',
    'Ranks',
    'Learning curves',
    'all 5,000 labels',
    'Against random',
    'Time',
    'Rank correlation',
    'What was asked',
    'Configuration',
    '"model": "mlp"',
  ):
    assert reader.says(text), text


def test_what_is_not_complete_is_shown_and_left_out_of_comparisons(grid):
  reader = Reader(grid / 'report.html')
  assert reader.says('1 of 3 settings is not complete')
  assert reader.says('Not begun: b_10.')
  assert reader.says('Left out here: a, batch 100 (not complete).')
  assert reader.says('No records of: random (seed 1)')
  assert (grid / 'report' / 'a_100_curves.csv').exists()
  names = {path.stem for path in (grid / 'report').glob('penalty*.svg')}
  assert names == {
    'penalty_all',
    'penalty_data_a',
    'penalty_data_b',
    'penalty_batch_10',
    'penalty_batch_100',
  }


def test_the_matrix_of_the_page_by_hand(grid):
  # All seeds differ by the same, so that every difference is a win. random has
  # never 99% of its last accuracy before its end: 10, 20 and 30 labels; the
  # systems differ at all three: badge beats margin beats random, always.
  (random, badge, margin, mean) = rows_of(grid / 'report' / 'penalty_all.csv')
  assert [float(badge[name]) for name in SKILL] == pytest.approx([2, 0, 2])
  assert [float(margin[name]) for name in SKILL] == pytest.approx([2, 0, 0])
  assert [float(random[name]) for name in SKILL] == [0, 0, 0]
  assert mean['system'] == 'column mean'
  assert [float(mean[name]) for name in SKILL] == pytest.approx(
    [4 / 3, 0, 2 / 3]
  )
  means = rows_of(grid / 'report' / 'penalty_column_means.csv')
  assert [row['system'] for row in means] == ['badge', 'margin', 'random']
  assert [float(row['batch 10']) for row in means] == pytest.approx(
    [0, 1 / 3, 2 / 3]
  )


def test_the_ranks_of_the_page_by_hand(grid):
  rows = rows_of(grid / 'report' / 'ranks_area_under_the_curve.csv')
  assert [row['system'] for row in rows] == ['badge', 'margin', 'random']
  assert [float(row['all (2)']) for row in rows] == [1, 2, 3]
  assert [float(row['data b (1)']) for row in rows] == [1, 2, 3]


def test_the_results_of_a_setting_by_hand(tmp_path):
  # Means 0.5, 0.7 and 0.4, 0.6: the system gets to 0.6 half way.
  rows = [
    a_record(system, seed, labels, mean + shift)
    for system, means in (('random', (0.4, 0.6)), ('margin', (0.5, 0.7)))
    for labels, mean in zip((10, 20), means, strict=True)
    for seed, shift in ((0, -0.1), (1, 0.1))
  ]
  folder = a_workdir(tmp_path / 'run', rows, systems=['random', 'margin'])
  report.write_report(folder)
  random, margin = rows_of(folder / 'report' / 'run_results.csv')
  assert float(margin['accuracy']) == pytest.approx(0.7)
  assert float(margin['accuracy_se']) == pytest.approx(0.1)
  assert float(margin['area']) == pytest.approx(0.6)
  assert float(margin['area_low']) == pytest.approx(0.5)
  assert float(margin['area_minus_random']) == pytest.approx(0.1)
  assert float(margin['labels_needed']) == pytest.approx(15)
  assert float(random['labels_needed']) == pytest.approx(20)
  assert Reader(folder / 'report.html').says('60.00 [50.00, 70.00]')


def test_the_full_labels_are_a_mean_of_the_last_records(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  rows = [a_record('x', seed, n, seed) for seed in (0, 1) for n in (10, 2000)]
  records.write_jsonl(folder / 'full_labels.jsonl', rows)
  (setting,) = report_data.read_workdir(folder)
  found = report_results.full_label_accuracies(setting)
  assert found == {'all 2,000 labels': pytest.approx((0.5, 0.5, 2))}


def test_final_values_are_where_all_runs_are():
  runs = {'a': {0: {10: 0.1, 20: 0.2}}, 'b': {0: {10: 0.3}}}
  assert report_results.final_values(runs) == {'a': {0: 0.1}, 'b': {0: 0.3}}
  assert report_results.final_values({'a': {0: {10: 1}, 1: {20: 1}}}) == {}


def test_the_seconds_of_a_round_are_medians(tmp_path):
  rows = [
    a_record(
      'margin',
      0,
      labels,
      seconds_fit=fit,
      seconds_measure=fit / 10,
      seconds_select=1,
      picks=picks,
      pick_ids=picks,
    )
    # The first round compiles; the last one asks nothing.
    for labels, fit, picks in ((10, 90, [1]), (20, 2, [2]), (30, 3, []))
  ]
  (row,) = report_costs.timings(a_setting(tmp_path / 'run', rows))
  assert row['fit'] == 3
  assert row['measure'] == pytest.approx((9 + 0.2) / 2)
  assert row['choose_max'] == 10
  assert row['run_total'] == pytest.approx(95 + 9.5 + 3)
  (row,) = report_costs.timings(a_setting(tmp_path / 'last', rows[2:]))
  assert math.isnan(row['choose'])


def test_batches_and_calibration_are_shown_where_they_were_measured(tmp_path):
  test = {'accuracy': 0.5, 'log_loss': 1.0, 'calibration_error': 0.1}
  rows = [
    a_record(system, seed, labels, test=test | more, batch=batch)
    for system, more in (
      ('random', {}),
      ('badge', {'mc_log_loss': 0.9, 'mc_calibration_error': 0.05}),
    )
    for seed in range(2)
    for labels, batch in (
      (10, {'log_det': math.nan, 'near_duplicates': 0.25}),
      (20, {'log_det': 0.5, 'near_duplicates': 0.75}),
      (30, {}),
    )
  ]
  setting = a_setting(tmp_path / 'run', rows)
  page = report_page.Page('x', tmp_path / 'report')
  report_diagnostics.write(page, setting, order=['random', 'badge'])
  page.write(tmp_path / 'report.html')
  reader = Reader(tmp_path / 'report.html')
  assert reader.says('The picked batches') and reader.says('Calibration')
  means = rows_of(tmp_path / 'report' / 'run_batches_mean.csv')
  assert [row['batch.near_duplicates'] for row in means] == ['0.5', '0.5']
  assert [row['batch.log_det'] for row in means] == ['0.5', '0.5']
  last = rows_of(tmp_path / 'report' / 'run_calibration_last.csv')
  assert [row['test.mc_log_loss'] for row in last] == ['', '0.9']
  panels = (tmp_path / 'report' / 'run_calibration.svg').read_text()
  assert 'calibration error, MC-dropout' in panels


def test_balanced_accuracy_has_curves_where_it_differs(tmp_path):
  for balanced, count in ((0.5, 0), (0.3, 1)):
    rows = [
      a_record(labels=n, test={'accuracy': 0.5, 'balanced_accuracy': balanced})
      for n in (10, 20)
    ]
    folder = a_workdir(tmp_path / f'run{count}', rows)
    report.write_report(folder)
    found = list((folder / 'report').glob('*balanced_curves.csv'))
    assert len(found) == count


def test_a_report_is_written_again_over_the_old_one(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  path = report.write_report(folder)
  before = path.read_bytes()
  (folder / 'report' / 'old.csv').write_text('')
  assert report.write_report(folder) == path
  assert path.read_bytes() == before
  assert not (folder / 'report' / 'old.csv').exists()


@pytest.mark.parametrize(
  'rows',
  [
    some_rows(systems=['margin']),
    some_rows(systems=['random']),
    some_rows(seeds=1),
    some_rows()[:1],
    [*some_rows()[:6], a_record('badge', 7, 70)],
  ],
  ids=['no random', 'only random', 'one seed', 'one record', 'ragged'],
)
def test_a_report_of_little_is_still_a_report(tmp_path, rows):
  for number, changes in enumerate(({}, {'finished': ''})):
    about = {'config': {}, 'systems': [], **changes}
    folder = a_workdir(tmp_path / f'run{number}', rows, **about)
    reader = Reader(report.write_report(folder))
    assert reader.says('Learning curves')


def test_another_baseline_can_be_chosen(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  reader = Reader(report.write_report(folder, baseline='margin'))
  assert reader.says('Against margin') and not reader.says('Against random')
  reader = Reader(report.write_report(folder, baseline='nobody'))
  assert reader.says('There is no nobody here')


def test_the_binary_says_where_the_page_is_or_what_is_wrong(tmp_path, capsys):
  folder = a_workdir(tmp_path / 'run', some_rows())
  with flagsaver.as_parsed(workdir=str(folder), baseline='random'):
    assert report.main(['report']) == 0
  assert capsys.readouterr().out.strip() == str(folder / 'report.html')
  nothing = str(tmp_path / 'nothing')
  with flagsaver.as_parsed(workdir=nothing, baseline='random'):
    assert report.main(['report']) == 1
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and 'nothing is no folder' in error


def test_the_binary_is_called_from_a_shell(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows()[:5])
  clone = pathlib.Path(report.__file__).parent.parent
  run = subprocess.run(
    [sys.executable, '-m', 'experiments.report', f'--workdir={folder}'],
    cwd=clone,
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  assert (folder / 'report.html').exists()


def test_the_binaries_can_be_imported_side_by_side():
  assert report.WORKDIR.name == session.WORKDIR.name
