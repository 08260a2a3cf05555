"""What is known of a run while it is written, killed, resumed and spoilt."""

import json
import os
import time

import pytest

from al_jax.pages import time_left
from al_jax.pages.experiment import Experiment
from al_jax.pages.tail import Place
from al_jax.storage import records, workdir
from tests.pages import made


def followed(folder):
  experiment = Experiment(folder, 'a run')
  experiment.refresh()
  return experiment


def appended(path, text):
  with path.open('a') as file:
    file.write(text)


def spoiled(**changes):
  """A record with fields that it cannot have."""
  whole = json.loads(made.the_rows()[0].to_json())
  return json.dumps({**whole, **changes})


def places(experiment):
  return [point.key for point in experiment.points.values()]


def test_a_folder_without_a_run_waits(tmp_path):
  experiment = followed(tmp_path / 'absent')
  assert experiment.state == 'waiting' and experiment.total is None
  made.a_run(tmp_path / 'absent', made.the_rows()[:1])
  experiment.refresh()
  assert places(experiment) == [('random', 0, 0)]
  assert (experiment.total, experiment.systems) == (12, ['random', 'margin'])


@pytest.mark.parametrize(
  ('live', 'state', 'message'),
  [
    ([made.begin()], 'killed', ''),
    ([made.begin(), made.ended('interrupted')], 'stopped', ''),
    ([made.begin(), made.ended('failed', 'no <b>')], 'failed', 'no <b>'),
    # Its results were not written, or its manifest.
    ([made.begin(), made.ended('finished')], 'killed', ''),
    # A resumed process was killed: what the earlier one said is past.
    ([made.begin(), made.ended('failed', 'no'), made.begin(2)], 'killed', ''),
    ([], 'killed', ''),
  ],
)
def test_a_run_that_nobody_holds_has_ended(tmp_path, live, state, message):
  made.a_run(tmp_path, made.the_rows()[:2], live=live)
  experiment = followed(tmp_path)
  assert (experiment.state, experiment.message) == (state, message)
  assert experiment.seconds_left() is None


def test_a_run_is_running_while_its_folder_is_held(tmp_path):
  with workdir.Workdir(tmp_path):
    made.a_run(tmp_path, live=[made.begin(), made.ended('failed', 'before')])
    experiment = followed(tmp_path)
    assert (experiment.state, experiment.message) == ('running', '')
  experiment.refresh()
  assert experiment.state == 'failed'


def test_a_finished_run_is_finished_even_if_it_is_looked_at(tmp_path):
  made.a_run(
    tmp_path, about=made.an_about(finished='2026-01-01T01:00:00+00:00')
  )
  with workdir_held(tmp_path):
    assert followed(tmp_path).state == 'finished'


def workdir_held(folder):
  (folder / '.al_jax.json').write_text('{}')
  return workdir.Workdir(folder)


def test_a_look_at_the_lock_keeps_no_run_out(tmp_path, monkeypatch):
  assert not workdir.is_in_use(tmp_path)
  assert not list(tmp_path.iterdir())
  with workdir.Workdir(tmp_path):
    assert workdir.is_in_use(tmp_path) and workdir.is_in_use(tmp_path)
  assert not workdir.is_in_use(tmp_path)
  # A look takes the lock while a run begins: the run tries again.
  looking = os.open(tmp_path / '.lock', os.O_RDONLY)
  workdir.fcntl.flock(looking, workdir.fcntl.LOCK_SH)
  monkeypatch.setattr(workdir.time, 'sleep', lambda _: os.close(looking))
  with workdir.Workdir(tmp_path):
    pass


def test_only_new_records_are_told(tmp_path):
  rows = made.the_rows()
  made.a_run(tmp_path, rows[:2])
  experiment = followed(tmp_path)
  place = experiment.points.since(Place())[2]
  records.append_jsonl(tmp_path / 'records.jsonl', rows[2])
  experiment.refresh()
  is_anew, new, _ = experiment.points.since(place)
  assert not is_anew and [point.round for point in new] == [2]
  assert (new[0].score, new[0].loss) == (0.7, 1 / 3)


def test_a_record_that_is_cut_is_shown_when_it_is_whole(tmp_path):
  rows = made.the_rows()
  made.a_run(tmp_path, rows[:1])
  whole = rows[1].to_json() + '\n'
  appended(tmp_path / 'records.jsonl', whole[:40])
  experiment = followed(tmp_path)
  assert len(places(experiment)) == 1 and not experiment.notes
  appended(tmp_path / 'records.jsonl', whole[40:])
  experiment.refresh()
  assert len(places(experiment)) == 2


@pytest.mark.parametrize(
  'garbage',
  [
    'garbage',
    '\x00\x00',
    '[]',
    '{}',
    '1',
    'null',
    '"a"',
    '[' * 3000,
    spoiled(seed='x'),
    spoiled(system=1),
    spoiled(round=1e999),
    spoiled(test=None),
    spoiled(train=[]),
    spoiled(ledger=3),
  ],
)
def test_garbage_in_the_middle_is_left_out_and_told(tmp_path, garbage):
  rows = made.the_rows()
  made.a_run(tmp_path, rows[:1])
  appended(tmp_path / 'records.jsonl', f'{garbage}\n{rows[1].to_json()}\n')
  appended(tmp_path / 'live.jsonl', f'{garbage}\n')
  experiment = followed(tmp_path)
  assert len(places(experiment)) == 2
  (note,) = experiment.notes
  assert note.startswith('1 line of records.jsonl cannot be read')


def test_bytes_that_are_no_text_are_left_out(tmp_path):
  made.a_run(tmp_path, made.the_rows()[:1])
  for name in ('records.jsonl', 'live.jsonl'):
    with (tmp_path / name).open('ab') as file:
      file.write(b'\xff\xfe{"a": \xc3\n')
  assert followed(tmp_path).num_unreadable == 1


def test_a_resumed_run_goes_on(tmp_path):
  rows = made.the_rows()
  made.a_run(tmp_path, rows[:4], live=[made.begin()])
  experiment = followed(tmp_path)
  place = experiment.points.since(Place())[2]
  # Records of the same rounds: nothing is new.
  records.write_jsonl(tmp_path / 'records.jsonl', rows[:5])
  experiment.refresh()
  is_anew, new, place = experiment.points.since(place)
  assert not is_anew and [point.key for point in new] == [('random', 1, 1)]
  # Rounds are gone: whoever reads must forget them.
  records.write_jsonl(tmp_path / 'records.jsonl', rows[:3])
  experiment.refresh()
  is_anew, new, place = experiment.points.since(place)
  assert is_anew and len(new) == 3


def test_a_run_that_begins_anew_is_shown_anew(tmp_path):
  made.a_run(tmp_path, made.the_rows(), live=[made.begin(), made.progress(5)])
  experiment = followed(tmp_path)
  assert len(experiment.progress.values()) == 1
  for name in ('records.jsonl', 'live.jsonl', 'manifest.json'):
    (tmp_path / name).unlink()
  experiment.refresh()
  assert (experiment.state, places(experiment)) == ('waiting', [])
  made.a_run(tmp_path, made.the_rows()[:1], live=[made.begin()])
  experiment.refresh()
  assert len(places(experiment)) == 1
  assert experiment.progress.values() == []


def test_a_manifest_that_cannot_be_read_is_told(tmp_path):
  made.a_run(tmp_path, made.the_rows())
  (tmp_path / 'manifest.json').write_text('{"config": 3}')
  experiment = followed(tmp_path)
  assert 'manifest.json' in experiment.notes[0]
  assert len(places(experiment)) == 12 and experiment.total is None
  made.a_run(tmp_path, made.the_rows())
  experiment.refresh()
  assert experiment.notes == []


def test_time_left_goes_by_the_same_round_of_other_seeds():
  # Later rounds take longer; two processes run side by side.
  done = {('a', 0, number): 1.0 + number for number in range(4)}
  left = time_left.estimate(done, ['a'], [0, 1], 4, elapsed=5.0, num_new=4)
  assert left == pytest.approx(5.0)
  # Of a system that has not begun: as long as others took.
  both = time_left.estimate(done, ['a', 'b'], [0], 4, elapsed=10.0, num_new=4)
  assert both == pytest.approx(10.0)
  assert time_left.estimate({}, ['a'], [0], 4, elapsed=9, num_new=0) is None
  # Of a resumed run, whose earlier rounds took no time of this process.
  resumed = time_left.estimate(done, ['a'], [0, 1], 4, elapsed=5.0, num_new=2)
  assert resumed == pytest.approx(10.0)


def test_time_left_runs_down_between_two_records(tmp_path):
  now = time.time()
  with workdir.Workdir(tmp_path):
    made.a_run(tmp_path, made.the_rows()[:6], live=[made.begin(0, now - 12)])
    os.utime(tmp_path / 'records.jsonl', (now, now))
    experiment = followed(tmp_path)
    # Six rounds of 2 s took 12 s, and six are left.
    assert experiment.seconds_left(now) == pytest.approx(12, abs=0.1)
    assert experiment.seconds_left(now + 5) == pytest.approx(7, abs=0.1)
    assert experiment.seconds_left(now + 50) == 0
