"""Pictures of the newest queries, and why there are none."""

import io

import numpy as np
import pytest
from PIL import Image

from al_jax import data
from al_jax.pages.experiment import Experiment
from al_jax.pages.query_sheets import QuerySheets
from al_jax.runner import cells, runs
from al_jax.storage import manifest
from tests.factories import a_record
from tests.pages import made
from tests.runner.cells_test import a_config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A tiny run of two systems on digits."""
  folder = tmp_path_factory.mktemp('runs') / 'tiny'
  config = a_config()
  how = cells.How(quiet=True)
  assert runs.run(config, runs.cells_of(config), folder, how) == 0
  return folder


def followed(folder):
  experiment = Experiment(folder, 'a run')
  experiment.refresh()
  return experiment


def test_a_run_leaves_what_the_page_shows(finished):
  experiment = followed(finished)
  assert (experiment.state, experiment.num_done) == ('finished', 8)
  assert experiment.total == 8 and not experiment.notes
  newest = experiment.newest_queries()[-1]
  assert (newest.system, newest.seed, newest.round) == ('margin', 1, 0)


def test_a_sheet_has_the_pictures_of_the_queries(finished):
  experiment = followed(finished)
  sheet = QuerySheets().sheet(experiment, 'margin', 1)
  facts = sheet.facts
  assert (facts['round'], facts['labels'], facts['asked']) == (0, 10, 5)
  assert (facts['width'], facts['height'], len(facts['tiles'])) == (8, 8, 5)
  assert facts['score']
  (line,) = experiment.lines_of_queries('margin', 1)
  picks = made.records.RoundRecord.from_json(line.decode()).picks
  dataset = data.load(experiment.about['config']['data'])
  targets = dataset.train.targets[np.array(picks)]
  labels = [dataset.task.spell(target) for target in targets]
  assert [tile['label'] for tile in facts['tiles']] == labels
  assert all(0 < tile['probability'] <= 1 for tile in facts['tiles'])
  pixels = np.asarray(Image.open(io.BytesIO(sheet.png)).convert('L'), float)
  assert pixels.shape == (8, 40)
  for at, pick in enumerate(picks):
    (picture,) = dataset.pictures_at(np.array([pick]))
    shown = pixels[:, 8 * at : 8 * at + 8]
    of_picture = np.asarray(picture, float).reshape(8, 8)
    assert np.corrcoef(shown.ravel(), of_picture.ravel())[0, 1] > 0.999


def test_data_are_loaded_once(finished, monkeypatch):
  experiment, sheets = followed(finished), QuerySheets()
  first = sheets.sheet(experiment, 'margin', 1)
  monkeypatch.setattr(data, 'load', None)
  assert sheets.sheet(experiment, 'margin', 1) is first
  assert sheets.sheet(experiment, 'random', 0).facts['asked'] == 5


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'data': {'fingerprint': 'other'}}, 'has changed since the run'),
    (
      {'config': {'data': {'source': 'file:/absent'}}},
      'cannot be shown: .*/abs',
    ),
    ({'config': {'data': {'source': 'os.system'}}}, 'does not run code'),
    ({'config': {'data': 'diabetes'}}, 'has changed since'),
    ({'config': {'data': None}}, 'there is no manifest'),
  ],
)
def test_why_there_are_no_pictures_is_told(finished, tmp_path, change, message):
  about = manifest.read(finished / 'manifest.json')
  for name in ('finished', 'digests'):
    del about[name]
  for name, of in change.items():
    about[name] = {**about[name], **of}
  made.a_run(tmp_path, [a_record(picks=[1], pick_ids=[1])], about)
  sheets = QuerySheets()
  for _ in range(2):
    with pytest.raises(ValueError, match=message):
      sheets.sheet(followed(tmp_path), 'margin', 0)


def test_a_run_without_queries_has_no_sheet(tmp_path):
  made.a_run(tmp_path, [a_record()])
  with pytest.raises(ValueError, match='has made no query yet'):
    QuerySheets().sheet(followed(tmp_path), 'margin', 0)


def test_made_queries_are_not_of_the_pool(finished, tmp_path):
  about = manifest.read(finished / 'manifest.json')
  rows = [a_record(picks=[10_000], pick_ids=['made'])]
  made.a_run(tmp_path, rows, {**about, 'digests': {}})
  with pytest.raises(ValueError, match='are not from the pool'):
    QuerySheets().sheet(followed(tmp_path), 'margin', 0)
