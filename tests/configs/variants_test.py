"""Every variant of the configs with arguments is built, and the small run.

What cannot be fetched everywhere is made up in its shape (see `stand_ins`);
real data that are absent are skipped.
"""

import json

import numpy as np
import pytest

from al_jax.runner import config as config_lib
from al_jax.runner import grid
from al_jax.runner import jobs as jobs_lib
from al_jax.storage import manifest, records
from configs import badge, bayesian
from tests.commands import run_test
from tests.configs import configs_test
from tests.factories import an_observer

pytestmark = pytest.mark.usefixtures('hasty_compiler')

ARGUMENTS = [
  name + variant for name in badge.arguments() for variant in ('', ',local')
]
BAYESIAN = [
  name + variant for name in ('gal', 'repeated') for variant in ('', ',local')
]
# Nobody has all of these: OpenML is a network away, SVHN as far as TFDS.
SHAPES = {
  'svhn': ((32, 32, 3), 10),
  'openml6': ((16,), 26),
  'openml155': ((10,), 10),
  'openml156': ((10,), 5),
  'openml184': ((6,), 18),
}
# As small as a run can be that goes twice through all that a round does.
TWO_ROUNDS = {
  'seeds': 1,
  'protocol.rounds': 2,
  'learner.stop.epochs': 1,
  # A compilation more, whatever the data are.
  'describe.batches': False,
}
TINY = {
  **TWO_ROUNDS,
  'data.transforms': ({'name': 'cap', 'train': 60, 'test': 20},),
  'protocol.labels_per_round': 5,
  'protocol.first_size': 20,
  'learner.batch_size': 20,
}


def prepared(name, argument):
  (cell,) = grid.cells(configs_test.resolved(name, (argument,)))
  return config_lib.prepare(cell.config)


def systems_to_build(argument):
  """All systems, or one where a network that is slow to trace comes again."""
  is_slow = argument.split('_')[1] in ('resnet', 'vgg')
  once = argument.startswith('svhn') and argument.endswith('_100,local')
  return ('badge',) if is_slow and not once else badge.SYSTEMS


@pytest.mark.parametrize('argument', ARGUMENTS)
def test_every_variant_of_badge_can_be_built(argument, provide, few_reads):
  name, _, batch = argument.split(',')[0].split('_')
  provide(badge.DATA[name]['source'])
  experiment = prepared('badge', argument)
  assert experiment.config['systems'] == list(badge.SYSTEMS)
  for system in systems_to_build(argument):
    assert config_lib.system_of(experiment, system).name == system
  facts = experiment.facts
  if argument.endswith(',local'):
    assert len(experiment.dataset.train) <= 2000
    assert facts.label_budget <= 100 + 2 * 500
  else:
    assert experiment.protocol.labels_per_round == int(batch)
  if name in SHAPES:
    example, num_classes = SHAPES[name]
    assert facts.example.shape == example
    assert len(facts.task.names) == num_classes


def test_variants_differ_in_what_their_names_say():
  assert len(ARGUMENTS) == len(set(ARGUMENTS)) >= 2 * 3 * len(badge.DATA)
  found = [
    configs_test.resolved('badge', (argument,)) for argument in ARGUMENTS
  ]
  said = {
    (
      config['data']['source'],
      json.dumps(config['data']['transforms']),
      config['model']['name'],
      config['protocol']['labels_per_round'],
      config['protocol']['rounds'],
    )
    for config in found
  }
  # Batches of 1,000 and 10,000 are one in small.
  in_small = sum('_10000,local' in argument for argument in ARGUMENTS)
  assert len(said) == len(ARGUMENTS) - in_small


@pytest.mark.parametrize('argument', BAYESIAN)
def test_every_variant_of_bayesian_can_be_built(argument, provide, few_reads):
  provide('tfds:mnist')
  experiment = prepared('bayesian', argument)
  for system in experiment.config['systems']:
    assert config_lib.system_of(experiment, system).name == system


def ran(tmp_path, module, argument, system, changes):
  """The records of one system of a config with some fields changed."""
  config = module.get_config(argument)
  config.update_from_flattened_dict(changes)
  (cell,) = grid.cells(manifest.plain_config(config.to_dict()))
  assert system in cell.config['systems']
  experiment = config_lib.prepare(cell.config)
  jobs = jobs_lib.jobs_of(cell.config, [system], workers=1)
  rows = []
  observers = [an_observer(rows.append)]
  jobs_lib.run_jobs(experiment, jobs, tmp_path, lambda: False, observers)
  return rows


def check_two_rounds(rows, first, batch):
  """A batch was asked after the first round, and learnt from."""
  assert [row.labels for row in rows] == [first, first + batch]
  assert len(set(rows[0].picks)) == batch
  assert sum(rows[0].pick_classes) == batch
  for row in rows:
    assert row.steps > 0
    assert np.isfinite([row.test['log_loss'], row.train['loss']]).all()


# Each set with another system, so that all of them run somewhere.
WITH_SYSTEMS = [
  (name, badge.SYSTEMS[place % len(badge.SYSTEMS)])
  for place, name in enumerate(badge.DATA)
]


def test_every_system_of_badge_runs_on_some_data_set():
  assert {system for _, system in WITH_SYSTEMS} == set(badge.SYSTEMS)


@pytest.mark.parametrize(('name', 'system'), WITH_SYSTEMS)
def test_every_data_set_of_badge_runs_in_small(name, system, provide, tmp_path):
  provide(badge.DATA[name]['source'])
  argument = f'{name}_mlp_100,local'
  rows = ran(tmp_path, badge, argument, system, TWO_ROUNDS)
  check_two_rounds(rows, 100, 100)


@pytest.mark.parametrize('model', ['resnet', 'vgg'])
def test_every_network_of_badge_runs_in_small(model, provide, tmp_path):
  provide(badge.DATA['svhn']['source'])
  rows = ran(tmp_path, badge, f'svhn_{model}_100,local', 'margin', TINY)
  check_two_rounds(rows, 20, 5)


@pytest.mark.parametrize(
  ('argument', 'system'),
  [('gal,local', 'bald'), ('repeated,local', 'power_bald')],
)
def test_both_protocols_of_bayesian_run_in_small(
  argument, system, provide, tmp_path
):
  provide('tfds:mnist')
  rows = ran(tmp_path, bayesian, argument, system, TWO_ROUNDS)
  check_two_rounds(rows, 20, 10)


def test_a_small_variant_runs_as_the_binary_has_it(provide, tmp_path):
  provide(badge.DATA['openml6']['source'])
  status = run_test.call(
    *('--config=configs/badge.py:openml6_mlp_100,local', '--quiet'),
    *('--config.systems=random', '--config.seeds=1'),
    *('--config.learner.stop.epochs=1', f'--workdir={tmp_path}'),
  )
  assert status == 0
  rows = records.read_jsonl(tmp_path / 'records.jsonl')
  assert [row.labels for row in rows] == [100, 200, 300]
  assert [bool(row.batch) for row in rows] == [True, True, False]
  (whole,) = records.read_jsonl(tmp_path / 'full_labels.jsonl')
  assert whole.labels == 2000
