"""Which systems a config names, and whose options it may have."""

import types

import pytest

from al_jax.runner import checks, defaults, identity, options
from al_jax.storage import manifest


def a_config(**changes):
  config = manifest.plain_config(defaults.get_config().to_dict())
  config.pop('grid')
  return {**config, **changes}


def test_the_defaults_have_all_fields_and_can_be_run():
  assert {*defaults.get_config()} == {*checks.FIELDS, 'grid'}
  checks.check_options(a_config())


def test_a_config_of_before_names_one_system():
  old = a_config(system='entropy')
  assert identity.upgraded(old) == a_config(systems='entropy')
  assert options.system_names(identity.upgraded(old)) == ['entropy']


def test_beside_a_config_of_before_the_list_of_a_manifest_decides():
  old = a_config(system='margin', systems=['random', 'badge'])
  for ran in (['margin'], ['random', 'badge']):
    assert identity.upgraded(old, ran) == a_config(systems=ran)


def test_the_target_of_before_was_of_the_test_split():
  now, old = a_config(), a_config()
  now['protocol']['test_accuracy'] = 0.95
  now['grid'] = {'goal': {'high': {'protocol': {'test_accuracy': 0.99}}}}
  old['protocol']['target_accuracy'] = 0.95
  del old['protocol']['test_accuracy']
  old['grid'] = {'goal': {'high': {'protocol': {'target_accuracy': 0.99}}}}
  assert identity.upgraded(old) == now
  assert identity.upgraded({**old, 'grid': [old['grid']]}) == {
    **now,
    'grid': [now['grid']],
  }
  assert identity.upgraded(now) == now


def test_a_config_of_before_has_no_features():
  old = a_config()
  del old['protocol']['first_features']
  assert identity.upgraded(old) == a_config()


def test_a_config_of_before_has_persons_and_no_prices():
  old = a_config()
  del old['oracle']['annotator'], old['prices'], old['describe']['probe']
  assert identity.upgraded(old) == a_config()


def test_a_config_of_today_stays_as_it_is():
  assert identity.upgraded(a_config()) == a_config()
  assert identity.upgraded(a_config(), ['badge']) == a_config()


@pytest.mark.parametrize('given', ['random,margin', ['random, margin']])
def test_names_may_stand_in_one_string(given):
  found = options.system_names(a_config(systems=given))
  assert found == ['random', 'margin']


@pytest.mark.parametrize('given', [[], ['margin', 'margin'], 3, [3], None])
def test_what_names_no_systems_is_refused(given):
  with pytest.raises(ValueError, match=r'config\.systems is .*must name'):
    options.system_names(a_config(systems=given))


def test_an_option_that_no_system_has_is_refused_with_who_has_it():
  given = {'strategy': {'num_iters': 3}}
  options.check_system_options(a_config(systems=['k_means'], **given))
  with pytest.raises(ValueError, match='it is one of k_means'):
    options.check_system_options(a_config(systems=['margin'], **given))


def test_random_may_be_run_alone_with_the_options_of_others():
  given = {'systems': ['random'], 'strategy': {'num_iters': 3}}
  options.check_system_options(a_config(**given))
  given['strategy'] = {'num_itres': 3}
  with pytest.raises(ValueError, match="Did you mean 'num_iters'"):
    options.check_system_options(a_config(**given))


@pytest.mark.parametrize(
  ('spec', 'resolved', 'said'),
  [
    ({'source': 'file:x.csv'}, 'feature', {'normalize': 'feature'}),
    ('file:x.csv', 'feature', {'normalize': 'feature'}),
    # What runs of before have.
    ({'source': 'file:x.csv', 'normalize': 'none'}, 'none', {}),
    ({'source': 'digits'}, 'channel', {}),
  ],
)
def test_the_identity_of_a_run_has_what_normalises(spec, resolved, said):
  experiment = types.SimpleNamespace(
    config=a_config(data=spec),
    dataset=types.SimpleNamespace(fingerprint='abc', normalize=resolved),
    features=None,
  )
  found = identity.identity_of(experiment, 'random')
  assert found == {'config': found['config'], 'data': 'abc', **said}
  assert found['config']['data'] == spec


def test_the_identity_of_a_run_has_the_content_of_its_weights(tmp_path):
  def identity_with(**model):
    dataset = types.SimpleNamespace(fingerprint='f', normalize='channel')
    experiment = types.SimpleNamespace(
      config=a_config(model=model), dataset=dataset
    )
    return identity.identity_of(experiment, 'random')

  path = tmp_path / 'net.npz'
  found = []
  for content in (b'one', b'two'):
    path.write_bytes(content)
    found.append(identity_with(name='backbone', weights=str(path))['weights'])
  assert found[0] != found[1]
  assert 'weights' not in identity_with(name='mlp', activation='relu')
