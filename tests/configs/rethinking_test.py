"""Every variant of configs/rethinking.py is built, and run in small."""

import numpy as np
import pytest

from al_jax.learners import LEARNERS
from al_jax.runner import config as config_lib
from al_jax.runner import grid, options, pretraining
from al_jax.storage import manifest, records
from configs import rethinking
from tests.commands import run_test
from tests.configs import configs_test

pytestmark = pytest.mark.usefixtures('hasty_compiler')

ARGUMENTS = [
  name + variant for name in rethinking.DATA for variant in ('', ',local')
]


@pytest.mark.parametrize('argument', ARGUMENTS)
def test_every_variant_can_be_built(argument, provide, few_reads):
  source, labels, _ = rethinking.DATA[argument.removesuffix(',local')]
  provide(source)
  config = configs_test.resolved('rethinking', (argument,))
  fresh, pretrained = grid.cells(config)
  assert [fresh.name, pretrained.name] == ['fresh', 'pretrained']
  experiment = config_lib.prepare(pretrained.config)
  assert pretraining.build(experiment) is not None
  assert pretraining.build(config_lib.prepare(fresh.config)) is None
  options.check_system_options(fresh.config)
  system = config_lib.system_of(experiment, 'propagation_random')
  assert len(system.facts.task.names) == (100 if 'cifar100' in argument else 10)
  if argument.endswith(',local'):
    assert len(experiment.dataset.train) <= 5000
  else:
    assert experiment.protocol.labels_per_round == labels
    assert experiment.protocol.first_size == labels


def test_each_learner_has_options_of_its_own():
  config = configs_test.resolved('rethinking', ('mnist',))
  plain, spreading = (
    options.learner_options(name, config)
    for name in ('random', 'propagation_random')
  )
  assert (plain['batch_size'], spreading['batch_size']) == (32, 128)
  ceal = options.learner_options('ceal', config)
  assert (ceal['batch_size'], ceal['normalized']) == (32, True)
  assert not set(LEARNERS) & {*plain, *spreading, *ceal}


@pytest.mark.parametrize(
  ('learner', 'given', 'message'),
  [
    ('ceal', {'treshold': 1.0}, "no option 'treshold'"),
    ('ceal', 3, 'ceal.* is 3'),
  ],
)
def test_options_of_a_learner_that_are_none_are_refused(
  learner, given, message
):
  config = configs_test.resolved('rethinking', ('mnist',))
  config['learner'][learner] = given
  with pytest.raises(ValueError, match=message):
    options.check_system_options(config)


@pytest.mark.parametrize('argument', ['mnist,local', 'svhn'])
def test_it_runs_in_small(argument, provide, tmp_path):
  provide(rethinking.DATA[argument.removesuffix(',local')][0])
  config = rethinking.get_config(argument)
  systems = ['random', 'ceal', 'propagation_jlp']
  starts = ['fresh', 'pretrained']
  if argument == 'svhn':
    config.model.width = 8
    systems, starts = ['propagation_random'], ['pretrained']
    del config.grid['start']['fresh']
  changes = {
    'data': {'transforms': ({'name': 'cap', 'train': 80, 'test': 20},)},
    'protocol': {'first_size': 20, 'labels_per_round': 5, 'rounds': 2},
    'learner': {'stop': {'epochs': 2}},
    'seeds': 1,
    'systems': systems,
  }
  config.update(changes)
  start = config.grid['start']
  start['pretrained']['pretraining']['stop'] = {'epochs': 2}
  path = tmp_path / 'small.py'
  plain = manifest.plain_config(config.to_dict())
  path.write_text(
    'from ml_collections import ConfigDict\n'
    f'def get_config():\n  return ConfigDict({plain!r})\n'
  )
  status = run_test.call(
    f'--config={path}', '--quiet', f'--workdir={tmp_path / "run"}'
  )
  assert status == 0
  for name in starts:
    folder = tmp_path / 'run' / name
    rows = records.read_jsonl(folder / 'records.jsonl')
    assert [row.labels for row in rows] == [20, 25] * len(systems)
    assert all(np.isfinite(row.test['log_loss']) for row in rows)
    assert (folder / 'pretraining.jsonl').exists() == (name == 'pretrained')
    assert any('pseudo_labels' in row.train for row in rows)
