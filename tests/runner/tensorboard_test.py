"""Event files: written as rounds end, each point once."""

import struct
import sys
import time

import pytest

from al_jax.runner import tensorboard
from tests.factories import a_record


def the_event_points(folder):
  """(tag, step, value) of every scalar in the event files of a run."""
  from tensorboardX.proto import event_pb2

  points = []
  for path in folder.iterdir():
    content, offset = path.read_bytes(), 0
    while offset < len(content):
      (length,) = struct.unpack_from('<Q', content, offset)
      start = offset + 12
      event = event_pb2.Event.FromString(content[start : start + length])
      points += [
        (value.tag, event.step, value.simple_value)
        for value in event.summary.value
      ]
      offset = start + length + 4
  return points


def accuracies(folder):
  points = the_event_points(folder)
  return [
    (step, pytest.approx(value))
    for tag, step, value in points
    if tag == 'test/accuracy'
  ]


def a_job(system='margin', seed=0):
  return [
    a_record(system, seed, labels, labels / 100) for labels in (0, 10, 20)
  ]


def written(folder, rows):
  events = tensorboard.TensorBoard(folder)
  for row in rows:
    events.on_record(row)
  return events


def test_there_is_a_run_per_system_and_seed(tmp_path):
  jobs = [
    a_job(system, seed) for system in ('random', 'a/b') for seed in (0, 1)
  ]
  written(tmp_path, [row for job in jobs for row in job]).close()
  runs = sorted(path.name for path in tmp_path.iterdir())
  assert runs == ['a%2Fb_seed0', 'a%2Fb_seed1', 'random_seed0', 'random_seed1']
  for run in runs:
    assert accuracies(tmp_path / run) == [(0, 0.0), (10, 0.1), (20, 0.2)]
    tags = {tag for tag, _, _ in the_event_points(tmp_path / run)}
    assert 'seconds_fit' in tags
    assert not tags & {'labels', 'seed', 'system'}


def test_a_point_is_on_disk_soon_after_its_round(tmp_path):
  first, *_ = a_job()
  events = written(tmp_path, [first])
  deadline = time.monotonic() + 60
  while not accuracies(tmp_path / 'margin_seed0'):
    assert time.monotonic() < deadline
    time.sleep(0.05)
  events.close()


def test_a_resumed_run_has_each_point_once_and_all_that_were_lost(tmp_path):
  first, second, last = a_job()
  other = a_job(seed=1)
  written(tmp_path, [*other, first]).close()
  # The process was killed before the second was written. The next one is handed
  # all of them again, and one more.
  for _ in range(2):
    events = written(tmp_path, [first, second, last])
    # The other run stays as it is until it is handed out.
    assert accuracies(tmp_path / 'margin_seed1') == [
      (0, 0.0),
      (10, 0.1),
      (20, 0.2),
    ]
    events.close()
    assert accuracies(tmp_path / 'margin_seed0') == [
      (0, 0.0),
      (10, 0.1),
      (20, 0.2),
    ]


def test_a_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorboardX', None)
  with pytest.raises(ImportError, match=r'al-jax\[tensorboard\]'):
    tensorboard.TensorBoard(tmp_path / 'tensorboard')
  assert list(tmp_path.iterdir()) == []


def test_no_event_is_written_or_cleared_through_a_link(tmp_path):
  events = tmp_path / 'other' / 'events.out.tfevents.1'
  events.parent.mkdir()
  events.touch()
  (tmp_path / 'margin_seed0').symlink_to(events.parent)
  with pytest.raises(OSError, match='margin_seed0 is a link'):
    written(tmp_path, a_job())
  assert list(events.parent.iterdir()) == [events]
