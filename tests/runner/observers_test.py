"""What is written down while records come in."""

import csv

import pytest

from al_jax.runner import observers
from al_jax.storage import records
from tests.factories import a_record

SYSTEMS = ['random', 'margin']


def job(system, seed):
  return [
    a_record(system, seed, labels, round=number)
    for number, labels in enumerate((10, 20))
  ]


def on_disk(folder):
  return [
    (row.system, row.seed, row.labels)
    for row in records.read_jsonl(folder / 'records.jsonl')
  ]


def opened(folder):
  return observers.RecordsFile(folder / 'records.jsonl', SYSTEMS)


@pytest.fixture
def resumed(tmp_path):
  """Of a folder in which an earlier process wrote seed 0 of both systems."""
  earlier = [*job('random', 0), *job('margin', 0)]
  records.write_jsonl(tmp_path / 'records.jsonl', earlier)
  return opened(tmp_path)


def test_what_is_not_handed_out_yet_stays_in_the_file(resumed, tmp_path):
  for record in job('random', 0):
    resumed.on_record(record)
  for number, record in enumerate(job('random', 1), start=1):
    resumed.on_record(record)
    assert on_disk(tmp_path) == [
      *(('random', 0, labels) for labels in (10, 20)),
      *(('random', 1, labels) for labels in (10, 20)[:number]),
      *(('margin', 0, labels) for labels in (10, 20)),
    ]


def test_in_the_end_there_is_only_what_was_handed_out(resumed, tmp_path):
  for record in [*job('random', 0), *job('margin', 0)[:1]]:
    resumed.on_record(record)
  resumed.close(is_over=False)
  assert len(resumed.rows()) == 4
  resumed.close(is_over=True)
  assert [(row.system, row.labels) for row in resumed.rows()] == [
    ('random', 10),
    ('random', 20),
    ('margin', 10),
  ]
  assert len(on_disk(tmp_path)) == 3


def test_what_an_earlier_process_wrote_is_known(resumed):
  resumed.on_record(job('random', 0)[0])
  assert resumed.earlier() == {
    ('random', 0, 1),
    ('margin', 0, 0),
    ('margin', 0, 1),
  }


@pytest.mark.parametrize('is_over', [False, True])
def test_the_table_has_what_the_file_of_records_has(tmp_path, is_over):
  records.write_jsonl(tmp_path / 'records.jsonl', job('margin', 0))
  table = tmp_path / 'records.csv'
  log = observers.RecordsFile(tmp_path / 'records.jsonl', SYSTEMS, table=table)
  for record in job('random', 0):
    log.on_record(record)
  log.close(is_over=is_over)
  with open(table, encoding='utf-8') as file:
    rows = [(row['system'], row['labels']) for row in csv.DictReader(file)]
  of_margin = [] if is_over else [('margin', '10'), ('margin', '20')]
  assert rows == [('random', '10'), ('random', '20'), *of_margin]


def test_without_a_record_there_is_no_table(tmp_path):
  table = tmp_path / 'records.csv'
  path = tmp_path / 'records.jsonl'
  observers.RecordsFile(path, SYSTEMS, table=table).close(is_over=True)
  assert not table.exists()


def test_a_round_that_was_run_again_takes_the_place_of_its_record(
  resumed, tmp_path
):
  first, last = job('margin', 0)
  resumed.on_record(first)
  again = a_record('margin', 0, 20, round=1, seconds_fit=9.0)
  resumed.on_record(again)
  found = records.read_jsonl(tmp_path / 'records.jsonl')[-1]
  assert found.seconds_fit == 9.0 != last.seconds_fit


def test_new_records_are_added_line_by_line(tmp_path):
  log = opened(tmp_path)
  path = tmp_path / 'records.jsonl'
  before = None
  for record in [*job('random', 0), *job('margin', 0)]:
    log.on_record(record)
    # The same file, longer.
    assert before in (None, path.stat().st_ino)
    before = path.stat().st_ino
  assert len(on_disk(tmp_path)) == len(log.rows()) == 4


def test_records_of_processes_side_by_side_are_put_in_order(tmp_path):
  log = opened(tmp_path)
  pairs = zip(job('random', 0), job('margin', 1), strict=True)
  rows = [record for pair in pairs for record in reversed(pair)]
  for number, record in enumerate(rows, start=1):
    log.on_record(record)
    assert len(on_disk(tmp_path)) == number
  assert on_disk(tmp_path) == [
    (system, seed, labels)
    for system, seed in (('random', 0), ('margin', 1))
    for labels in (10, 20)
  ]


def test_what_cannot_be_read_is_written_anew(tmp_path, caplog):
  (tmp_path / 'records.jsonl').write_text('{"system": "mar')
  log = opened(tmp_path)
  assert 'written anew from the checkpoints' in caplog.text
  assert log.rows() == []
  log.on_record(job('random', 0)[0])
  assert len(on_disk(tmp_path)) == 1
