"""Jobs side by side: what comes home, and how processes end."""

import multiprocessing
import os
import signal

import pytest

from al_jax import loop
from al_jax.runner import config as config_lib
from al_jax.runner import defaults, workers
from al_jax.runner import jobs as jobs_lib
from al_jax.storage import manifest, records
from tests.factories import an_observer


@pytest.fixture(scope='module')
def experiment():
  config = defaults.get_config()
  config.model.widths = (8,)
  config.data.transforms = ({'name': 'cap', 'train': 90, 'test': 50},)
  config.learner.stop.epochs = 2
  config.protocol.rounds = 3
  config.protocol.first_size = 10
  config.protocol.labels_per_round = 5
  config.seeds = 3
  plain = manifest.plain_config(config.to_dict())
  plain.pop('grid')
  return config_lib.prepare(plain)


@pytest.fixture(scope='module')
def jobs(experiment):
  return jobs_lib.jobs_of(experiment.config, ['margin'], workers=2)


@pytest.fixture(scope='module')
def ran(experiment, jobs, tmp_path_factory):
  """Checkpoints of jobs that two processes ran, and the records."""
  folder = tmp_path_factory.mktemp('jobs')
  rows = []
  workers.run_jobs(
    experiment, jobs, folder, 2, lambda: False, [an_observer(rows.append)]
  )
  return folder, rows


def by_seed(rows):
  rows = sorted(rows, key=lambda row: (row.seed, row.round))
  return [records.deterministic(row) for row in rows]


def test_no_job_saves_through_a_link(tmp_path):
  (tmp_path / 'photos').mkdir()
  (tmp_path / 'margin').mkdir()
  job = jobs_lib.Job('margin', (0, 1))
  assert job.folder(tmp_path) == tmp_path / 'margin' / 'seed_0_1'
  (tmp_path / 'margin' / 'seed_0_1').symlink_to(tmp_path / 'photos')
  with pytest.raises(OSError, match='seed_0_1 is a link'):
    job.folder(tmp_path)


def test_three_jobs_in_two_processes_are_those_of_one(
  experiment, jobs, ran, tmp_path
):
  alone = []
  jobs_lib.run_jobs(
    experiment, jobs, tmp_path, lambda: False, [an_observer(alone.append)]
  )
  assert by_seed(ran[1]) == by_seed(alone)
  assert not multiprocessing.active_children()


def test_no_process_is_started_for_jobs_that_are_finished(
  experiment, jobs, ran, monkeypatch
):
  monkeypatch.setattr(workers, '_Worker', None)
  folder, rows = ran
  again = []
  workers.run_jobs(
    experiment, jobs, folder, 2, lambda: False, [an_observer(again.append)]
  )
  assert again == sorted(rows, key=lambda row: (row.seed, row.round))


def test_a_request_is_passed_on_and_the_rest_is_done_later(
  experiment, jobs, ran, tmp_path
):
  rows = []
  with pytest.raises(loop.Interrupted):
    workers.run_jobs(
      experiment,
      jobs,
      tmp_path,
      2,
      lambda: bool(rows),
      [an_observer(rows.append)],
    )
  assert not multiprocessing.active_children()
  assert not all(jobs_lib.is_finished(job, tmp_path) for job in jobs)
  again = []
  jobs_lib.run_jobs(
    experiment, jobs, tmp_path, lambda: False, [an_observer(again.append)]
  )
  assert by_seed(again) == by_seed(ran[1])


def test_a_process_that_dies_is_named(experiment, jobs, tmp_path):
  def kill_one(record):
    del record
    (child, *_) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGKILL)

  with pytest.raises(ChildProcessError, match=r'that ran margin, seeds \[0\]'):
    workers.run_jobs(
      experiment, jobs[:1], tmp_path, 1, lambda: False, [an_observer(kill_one)]
    )
  assert not multiprocessing.active_children()


def test_an_error_comes_home_as_it_is(experiment, jobs, tmp_path):
  config = {**experiment.config, 'systems': ['no_such']}
  broken = experiment._replace(config=config)
  with pytest.raises(ValueError, match="'no_such' is not known") as caught:
    workers.run_jobs(
      broken, jobs[:1], tmp_path, 1, lambda: False, [an_observer(print)]
    )
  assert 'Traceback' in caught.value.__notes__[0]


def test_a_request_that_comes_before_pictures_are_written_is_kept():
  home, away = multiprocessing.Pipe()
  sender = workers._Sender(away)
  assert not sender.should_stop()
  for message in (workers._STOP, workers._RECEIVED):
    home.send(message)
  sender.on_pictures('pictures')
  assert home.recv() == ('event', ('on_pictures', 'pictures'))
  assert not home.poll() and not away.poll()
  assert sender.should_stop()
