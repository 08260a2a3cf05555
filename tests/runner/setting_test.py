"""The files of a setting while its records come in."""

import types

import pytest

from al_jax.runner import setting
from al_jax.storage import records
from tests.factories import a_record

EXPERIMENT = types.SimpleNamespace(
  config={'seeds': 2, 'first_seed': 0},
  protocol=types.SimpleNamespace(rounds=2),
)


def cell(system, seed):
  return [a_record(system, seed, labels) for labels in (10, 20)]


def on_disk(folder):
  return [
    (row.system, row.seed, row.labels)
    for row in records.read_jsonl(folder / 'records.jsonl')
  ]


@pytest.fixture
def sheet(tmp_path):
  """Of a folder in which an earlier process wrote seed 0 of both systems."""
  earlier = [*cell('random', 0), *cell('margin', 0)]
  records.write_jsonl(tmp_path / 'records.jsonl', earlier)
  return setting._Sheet(tmp_path, EXPERIMENT, ['random', 'margin'], True)


def test_what_is_not_handed_out_yet_stays_in_the_file(sheet):
  for record in cell('random', 0):
    sheet.on_record(record)
  for number, record in enumerate(cell('random', 1), start=1):
    sheet.on_record(record)
    assert on_disk(sheet.folder) == [
      *(('random', 0, labels) for labels in (10, 20)),
      *(('random', 1, labels) for labels in (10, 20)[:number]),
      *(('margin', 0, labels) for labels in (10, 20)),
    ]


def test_in_the_end_there_is_only_what_was_handed_out(sheet):
  for record in [*cell('random', 0), *cell('margin', 0)[:1]]:
    sheet.on_record(record)
  sheet.drop_others()
  sheet.write()
  assert on_disk(sheet.folder) == [
    ('random', 0, 10),
    ('random', 0, 20),
    ('margin', 0, 10),
  ]
  assert len((sheet.folder / 'records.csv').read_text().splitlines()) == 4


def test_new_records_are_added_line_by_line(tmp_path):
  sheet = setting._Sheet(tmp_path, EXPERIMENT, ['random', 'margin'], True)
  path = tmp_path / 'records.jsonl'
  before = None
  for record in [*cell('random', 0), *cell('margin', 0)]:
    sheet.on_record(record)
    # The same file, longer.
    assert before in (None, path.stat().st_ino)
    before = path.stat().st_ino
  assert len(on_disk(tmp_path)) == 4
