"""What a run writes down for those who watch it."""

import contextlib
import json

import pytest

from al_jax import loop
from al_jax.loop.events import Events, RoundProgress
from al_jax.runner import live, observers
from al_jax.storage import workdir
from al_jax.tasks import numbered

PROGRESS = RoundProgress(
  'margin', 1, 2, 30, 40, {'loss': 0.5, 'accuracy': float('nan')}
)


def lines(folder):
  text = (folder / 'live.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def opened(folder):
  return observers.Observers(
    folder,
    ['margin'],
    numbered(3),
    num_rounds=4,
    quiet=True,
    tensorboard=False,
    has_gallery=False,
  )


@pytest.mark.parametrize(
  ('error', 'how', 'message'),
  [
    (None, 'finished', ''),
    (loop.Interrupted(), 'interrupted', ''),
    (KeyboardInterrupt(), 'interrupted', ''),
    (ValueError('a\nb'), 'failed', 'ValueError: a b'),
  ],
)
def test_the_file_says_how_an_experiment_went(tmp_path, error, how, message):
  raised = contextlib.nullcontext()
  if error is not None:
    raised = pytest.raises(type(error))
  with raised, opened(tmp_path) as watching:
    Events(watching.all).tell('on_progress', PROGRESS)
    if error is not None:
      raise error
  begin, progress, ended = lines(tmp_path)
  assert (begin['event'], begin['num_finished']) == ('begin', 0)
  assert progress['metrics'] == {'loss': 0.5, 'accuracy': 'NaN'}
  assert progress['system'] == 'margin' and progress['step'] == 40
  assert (ended['how'], ended['message']) == (how, message)


def test_a_resumed_run_goes_on_after_a_line_that_was_cut(tmp_path):
  with opened(tmp_path):
    pass
  with (tmp_path / 'live.jsonl').open('a') as file:
    file.write('{"event": "prog')
  with opened(tmp_path):
    pass
  events = [line['event'] for line in lines(tmp_path)]
  assert events == ['begin', 'ended', 'begin', 'ended']


def test_the_file_does_not_grow_without_end(tmp_path, monkeypatch):
  monkeypatch.setattr(live, '_MOST_LINES', 10)
  file = live.LiveFile(tmp_path / 'live.jsonl')
  for step in range(47):
    file.on_progress(PROGRESS._replace(step=step))
    assert len(lines(tmp_path)) <= 10
  steps = [line['step'] for line in lines(tmp_path)]
  assert steps == list(range(47 - len(steps), 47)) and len(steps) >= 5


def test_a_disk_that_is_full_does_not_end_a_run(tmp_path, caplog):
  file = live.LiveFile(tmp_path / 'absent' / 'live.jsonl')
  with caplog.at_level('WARNING'):
    file.on_progress(PROGRESS)
  assert 'Watchers will miss a line' in caplog.text


def test_overwriting_clears_the_file(tmp_path):
  with workdir.Workdir(tmp_path) as place:
    with opened(tmp_path):
      pass
    place.overwrite()
  assert not (tmp_path / 'live.jsonl').exists()
