"""The results of one experiment on the page."""

import pytest

from al_jax.analysis import tables
from al_jax.commands import report
from al_jax.reporting import data as report_data
from al_jax.reporting import results as report_results
from al_jax.storage import records
from tests.factories import a_record, two_systems
from tests.reporting.report_runs import Reader, a_workdir, rows_of, some_rows


def test_the_results_of_an_experiment_by_hand(tmp_path):
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


def test_without_the_baseline_no_column_is_empty(tmp_path):
  rows = [a_record('margin', 0, labels) for labels in (10, 20)]
  folder = a_workdir(tmp_path / 'run', rows)
  page = Reader(report.write_report(folder))
  assert page.rows[0] == ['system', 'seeds', 'labels', 'accuracy %', 'area %']
  assert not page.says("Labels to random's last")


def test_the_full_labels_are_a_mean_of_the_last_records(tmp_path):
  folder = a_workdir(tmp_path / 'run', some_rows())
  rows = [a_record('x', seed, n, seed) for seed in (0, 1) for n in (10, 2000)]
  records.write_jsonl(folder / 'full_labels.jsonl', rows)
  (experiment,) = report_data.read_workdir(folder)
  found = report_results.full_label_values(experiment)
  assert found == {'all 2,000 labels': pytest.approx((0.5, 0.5, 2))}


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


def test_the_summary_and_the_page_have_the_same_tests(tmp_path):
  # margin goes on to 30 labels like random, badge ends at 20: all are compared
  # at 20.
  rows = [
    *two_systems(),
    *(a_record('random', seed, 30, 0.9) for seed in range(2)),
    *(a_record('badge', seed, 20, 0.9 + seed / 10) for seed in range(2)),
  ]
  folder = a_workdir(tmp_path / 'run', rows, systems=[])
  reader = Reader(report.write_report(folder))
  header, *summary = tables.summary_table(rows).splitlines()[:4]
  assert header.split()[-6:] == [
    'minus',
    'random',
    'at',
    'labels',
    'pairs',
    'p',
  ]
  on_page = {
    row[0]: row[3:5] for row in reader.rows if row[1:2] == ['accuracy']
  }
  assert list(on_page) == ['margin', 'badge']
  for line in summary[1:]:
    system, *_, mean, sign, error, labels, pairs, p = line.split()
    assert on_page[system] == [f'{mean} {sign} {error}', p]
    assert (labels, pairs) == ('20', '2')
  csv = rows_of(folder / 'report' / 'run_tests.csv')
  assert float(csv[0]['t_p']) == pytest.approx(0.2048, abs=1e-4)
