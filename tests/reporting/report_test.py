"""The binary, and the page as a whole."""

import base64
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

from al_jax.commands import report, run
from al_jax.storage import manifest, records
from tests.factories import a_record
from tests.reporting.report_runs import (
  ABOUT,
  COMMAND,
  SKILL,
  Reader,
  a_workdir,
  rows_of,
  some_rows,
)


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
    'al-jax report --workdir=',
    'Pairwise penalty matrix',
    'Normalised errors',
    'Ranks',
    'Learning curves',
    'all 5,000 labels',
    'Against random',
    'Time',
    'Rank correlation',
    'Queries',
    'Configuration',
    '"model": "mlp"',
  ):
    assert reader.says(text), text


def test_what_is_not_complete_is_shown_and_left_out_of_comparisons(grid):
  reader = Reader(grid / 'report.html')
  assert reader.says('Not complete: 1 of 3 experiments.')
  assert reader.says('Not started: b_10.')
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


def test_the_page_tells_which_parts_are_not_the_librarys(tmp_path):
  rows = some_rows(systems=['random', 'margin'], parts={'loss': 'focal'})
  rows += some_rows(systems=['badge'])
  folder = a_workdir(tmp_path / 'run', rows)
  reader = Reader(report.write_report(folder))
  assert reader.says('Parts of random, margin: loss focal.')


def test_another_baseline_can_be_chosen(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  reader = Reader(report.write_report(folder, baseline='margin'))
  assert reader.says('Against margin') and not reader.says('Against random')
  with pytest.raises(ValueError, match="--baseline 'nobody' is not known"):
    report.write_report(folder, baseline='nobody')


def test_the_binary_says_where_the_page_is_or_what_is_wrong(tmp_path, capsys):
  folder = a_workdir(tmp_path / 'run', some_rows())
  with flagsaver.as_parsed(workdir=str(folder), baseline='random', merge=''):
    assert report.main(['report']) == 0
  conclusion, place = capsys.readouterr().out.splitlines()
  assert 'no difference from random can be tested' in conclusion
  assert place == f'Report: {folder / "report.html"}'
  nothing = str(tmp_path / 'nothing')
  with flagsaver.as_parsed(workdir=nothing, baseline='random', merge=''):
    assert report.main(['report']) == 1
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and 'nothing is no folder' in error


@pytest.mark.parametrize(
  ('file', 'before', 'after'),
  [
    ('records.jsonl', '"accuracy": 0.', '"accuracy": 0.1'),
    ('manifest.json', '"mlp"', '"mlb"'),
    ('manifest.json', '"train"', '"trasn"'),
  ],
)
def test_a_damaged_file_of_a_finished_run_is_one_line(
  tmp_path, capsys, file, before, after
):
  folder = a_workdir(tmp_path / 'run', some_rows())
  path = folder / 'manifest.json'
  data = {'name': 'd', 'fingerprint': '', 'train': 1, 'test': 1}
  about = {**ABOUT, 'data': {**data, 'num_classes': 2}}
  manifest.write(path, manifest.finished(folder, about))
  text = (folder / file).read_text()
  assert before in text
  (folder / file).write_text(text.replace(before, after, 1))
  with flagsaver.as_parsed(workdir=str(folder), baseline='random', merge=''):
    assert report.main(['report']) == 1
  told = capsys.readouterr().err
  assert told.count('\n') == 1 and file in told
  assert not (folder / 'report.html').exists()


def test_the_binary_is_called_from_a_shell(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows()[:5])
  clone = pathlib.Path(report.__file__).parents[2]
  run = subprocess.run(
    [sys.executable, '-m', 'experiments.report', f'--workdir={folder}'],
    cwd=clone,
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  assert (folder / 'report.html').exists()


def test_the_binaries_can_be_imported_side_by_side():
  assert report.WORKDIR.name == run.WORKDIR.name
