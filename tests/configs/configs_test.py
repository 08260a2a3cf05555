"""Every config resolves, and its local variant runs."""

import importlib
import pathlib

import pytest

from al_jax import models
from al_jax.runner import checks, grid
from al_jax.storage import manifest
from tests.models.models_test import facts_of

CONFIGS = pathlib.Path(__file__).parent.parent.parent / 'configs'
WITH_ARGUMENTS = {
  'badge': [
    (),
    ('mnist_mlp_100,local',),
    ('letter_mlp_100,authors',),
    ('cifar10_resnet_1000',),
    ('study',),
    ('models',),
  ],
  'bayesian': [(), ('gal,local',), ('repeated',), ('repeated,local',)],
  'joint': [
    (),
    ('mnist,local',),
    ('letter',),
    ('modalities',),
    ('modalities,local',),
    ('pretraining',),
    ('pretraining,local',),
    ('weight',),
    ('weight,local',),
    ('emofbvp',),
    ('mindreading,local',),
  ],
  'rethinking': [
    (),
    ('cifar10_100,local',),
    ('learners',),
  ],
  'learning_loss': [
    (),
    ('cifar10,local',),
    ('mnist',),
    ('keypoints',),
    ('detect',),
    ('ablation',),
    ('cheat',),
    ('mnist,weight',),
    ('cifar10,local,weight',),
    ('keypoints,weight',),
    ('detect,weight',),
  ],
  'backbones': [(), ('trunk',)],
  'budget_annotation': [
    (),
    ('cifar10_lite,local',),
    ('svhn_resnet',),
    ('mnist_googlenet',),
    ('components',),
    ('outliers',),
    ('annotators',),
  ],
  'bgadl': [
    (),
    ('cifar10',),
    ('mnist,local',),
    ('cifar10,local',),
    ('mnist,varied',),
  ],
  'synthesis': [
    (),
    ('cifar10',),
    ('mnist,local',),
    ('realism',),
    ('distance',),
  ],
  'stream': [(), ('digits',), ('mnist',), ('scores',), ('windows',)],
  'vaal': [(), ('mnist',), ('cifar10,local',), ('mnist,local',), ('kl',)],
  'sraal': [(), ('cifar100',), ('mnist,local',), ('ablation',)],
  'quickstart': [()],
  'mnist': [(), ('local',)],
  'cifar10': [(), ('local',)],
}


def resolved(name, arguments):
  module = importlib.import_module(f'configs.{name}')
  return manifest.plain_config(module.get_config(*arguments).to_dict())


def test_every_config_is_in_the_table_of_this_test():
  assert {path.stem for path in CONFIGS.glob('*.py')} == set(WITH_ARGUMENTS)


@pytest.mark.parametrize(
  ('name', 'arguments'),
  [
    (name, args)
    for name, all_args in WITH_ARGUMENTS.items()
    for args in all_args
  ],
)
def test_a_config_has_the_fields_of_the_base(name, arguments):
  config = resolved(name, arguments)
  assert set(config) == {*checks.FIELDS, 'grid'}
  for cell in grid.cells(config):
    checks.check_options(cell.config)
    assert checks.seed_list(cell.config)


@pytest.mark.parametrize('name', ['vaal', 'sraal', 'bgadl', 'synthesis'])
@pytest.mark.parametrize(
  ('data', 'shape'), [('mnist', (28, 28, 1)), ('cifar10', (32, 32, 3))]
)
def test_published_networks_take_the_images(name, data, shape):
  facts = facts_of(shape, classes=10)
  for arguments in (data, f'{data},local'):
    models.build(facts=facts, **resolved(name, (arguments,))['model'])


def test_the_network_of_the_authors_of_badge_is_a_choice():
  ours, theirs = (
    resolved('badge', (f'letter_mlp_100{variant}',))
    for variant in ('', ',authors')
  )
  assert theirs.pop('model') == {
    **ours.pop('model'),
    'init': 'torch',
    'head_bias': False,
  }
  assert theirs == ours
  with pytest.raises(ValueError, match='resnet_100,authors'):
    resolved('badge', ('cifar10_resnet_100,authors',))


def test_the_study_of_badge_is_no_full_grid():
  found = grid.cells(resolved('badge', ('study',)))
  assert [cell.name for cell in found] == [
    '100-letter',
    '100-mnist',
    '1000-letter',
    '1000-mnist',
    '10000-mnist',
  ]


def test_every_subset_of_the_modalities_is_a_cell():
  found = grid.cells(resolved('joint', ('emofbvp',)))
  assert len(found) == 15
  assert {len(each.config['data']['modalities']) for each in found} == {
    1,
    2,
    3,
    4,
  }
  local = grid.cells(resolved('joint', ('modalities,local',)))
  for cell in local:
    first, last = cell.config['data']['transforms']
    assert (first['name'], last['name']) == ('cap', 'views')


@pytest.mark.parametrize(
  'name', ['badge', 'bayesian', 'cifar10', 'joint', 'mnist']
)
def test_a_config_refuses_an_argument_it_does_not_know(name):
  with pytest.raises(ValueError, match="config argument is 'huge'"):
    resolved(name, ('huge',))


@pytest.mark.parametrize(
  ('name', 'argument'),
  [('badge', 'letter_mlp_100'), ('joint', 'letter')],
)
def test_tables_of_recorded_figures_are_as_they_were(name, argument):
  (cell,) = grid.cells(resolved(name, (argument,)))
  assert cell.config['data']['normalize'] == 'none'
