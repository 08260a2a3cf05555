"""The model of a labelling project, exported."""

import numpy as np
import pytest

import al_jax
from al_jax import labelling
from al_jax.commands import export
from al_jax.exporting import project as project_lib
from al_jax.labelling import asking, project, proposing
from tests.commands import run_test
from tests.exporting.runs import of_learner

CONFIG = {'learner': {'stop': {'steps': 20}}}


def test_a_project_is_trained_on_its_labels_and_exported(tmp_path, capsys):
  values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
  np.save(tmp_path / 'x.npy', values)
  state, out = tmp_path / 'state', tmp_path / 'model'
  names = ['low', 'high']
  labelling.begin(state, f'file:{tmp_path / "x.npy"}', names, config=CONFIG)
  words = f'--state={state}', f'--out={out}'
  assert run_test.call(*words, command=export) == 1
  assert 'has no labels yet' in capsys.readouterr().err
  batch = labelling.propose(state, 12, folds=0)
  labelling.tell(
    state,
    [
      labelling.Answer(query.id, names[int(values[int(query.id), 0] > 0)])
      for query in batch.queries
    ],
  )
  assert run_test.call(*words, command=export) == 0
  assert 'trained on 12 labels' in capsys.readouterr().out
  loaded = al_jax.load_model(out)
  trained = project_lib.trained(state)
  np.testing.assert_array_equal(
    loaded.predict(values), of_learner(trained.learner, trained.state, values)
  )
  assert list(loaded.task.class_names) == names
  # What people are shown beside the next batch.
  now = project.of(state)
  proposed = proposing.propose(
    now, asking.load_pool(now), now.config, 5, folds=0
  )
  found = loaded.predict(values[proposed.picks]).argmax(1)
  np.testing.assert_array_equal(found, proposed.predicted)
  with pytest.raises(ValueError, match=r'seed is 3, but .* is a labelling'):
    al_jax.export(state, tmp_path / 'other', seed=3)
