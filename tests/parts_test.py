"""Parts by a dotted path: what is found and what is refused."""

import dataclasses
import functools
import hashlib
import pathlib
import sys

import jax
import numpy as np
import pytest

from al_jax import parts, strategies, systems
from al_jax.learners import LEARNERS
from al_jax.runner import defaults, options
from al_jax.storage import manifest
from al_jax.strategies import STRATEGIES


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder that is searched; what is imported from it is forgotten after."""
  before, path = set(sys.modules), list(sys.path)
  parts.search_in([tmp_path])
  yield tmp_path
  parts.search_in([])
  sys.path[:] = path
  for name in set(sys.modules) - before:
    del sys.modules[name]


def test_a_name_of_the_table_comes_first():
  assert parts.find('strategy', 'margin', STRATEGIES) is STRATEGIES['margin']


def test_a_dotted_path_is_imported_with_what_stands_beside_it(folder):
  (folder / 'mine_a.py').write_text('import beside_a\nthing = beside_a.thing\n')
  (folder / 'beside_a.py').write_text('def thing(): return 3\n')
  assert parts.find('strategy', 'mine_a.thing', {})() == 3


def test_a_package_is_imported_by_its_whole_path(folder):
  (folder / 'package_a').mkdir()
  (folder / 'package_a' / '__init__.py').write_text('')
  (folder / 'package_a' / 'inner.py').write_text('def thing(): return 4\n')
  name = 'package_a.inner.thing'
  assert parts.find('model', name, {})() == 4
  content = (folder / 'package_a' / 'inner.py').read_bytes()
  digest = hashlib.sha256(content).hexdigest()
  assert parts.digests([name, 'mlp', None]) == {'package_a.inner': digest}


def test_the_first_folder_that_has_a_module_is_taken(folder, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  for place, value in ((folder, 1), (other, 2)):
    (place / 'twice_a.py').write_text(f'def thing(): return {value}\n')
  parts.search_in([other, folder])
  assert parts.find('strategy', 'twice_a.thing', {})() == 2


def test_an_installed_module_is_found_behind_the_folders(folder):
  assert parts.find('strategy', 'hashlib.sha256', {}) is hashlib.sha256


@pytest.mark.parametrize(
  ('source', 'name', 'message'),
  [
    (None, 'nowhere_b.thing', "there is no module 'nowhere_b' in .*sys.path"),
    ('x = 1', 'mine_b.thing', "module has no function 'thing'.*It has: none"),
    ('def think(): 1', 'mine_b.thing', "Did you mean 'think'"),
    ('def (', 'mine_b.thing', r'SyntaxError.*mine_b\.py, line 1'),
    ('1 / 0', 'mine_b.thing', r'ZeroDivisionError.*mine_b\.py, line 1'),
    (
      'import absent_b',
      'mine_b.thing',
      'ModuleNotFoundError.*absent_b.*line 1',
    ),
    ('x = 1', 'random.thing_b', "module has no function 'thing_b'"),
  ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
  folder, source, name, message
):
  if source is not None:
    (folder / 'mine_b.py').write_text(source)
  with pytest.raises(ValueError, match=message):
    parts.find('strategy', name, STRATEGIES)


def test_a_file_with_the_name_of_another_module_is_refused(folder):
  (folder / 'json.py').write_text('def thing(): return 1\n')
  with pytest.raises(ValueError, match=r'is taken by another module.*rename'):
    parts.find('strategy', 'json.thing', {})


@pytest.mark.parametrize('name', ['margins', 'a b.c', '.a', 'a.', 3, None, ''])
def test_what_is_no_dotted_path_is_an_unknown_name(name):
  with pytest.raises(ValueError, match='is not known'):
    parts.find('strategy', name, STRATEGIES)


@pytest.mark.parametrize('name', ['my.py', 'my.py:thing', 'folder/my.py'])
def test_what_looks_like_a_file_is_told_how_to_name_a_part(name):
  with pytest.raises(
    ValueError, match=r'Name your own part my_module\.my_thing'
  ):
    parts.find('strategy', name, {'margin': len})


def test_systems_are_put_together():
  assert systems.canonical('margin') == 'margin'
  assert systems.canonical('supervised+margin') == 'margin'
  assert systems.canonical('joint+entropy') == 'joint'
  assert systems.canonical('label_propagation+random') == 'propagation_random'
  # `mc_entropy` has options of its own, so that this is another system.
  assert systems.canonical('supervised+entropy') == 'entropy'
  assert systems.canonical('ceal+badge') == 'ceal+badge'
  assert systems.canonical('supervised+albl') == 'supervised+albl'
  for name in ('joint+', '+margin', 'joint+margin+bald', 'ceal +badge'):
    with pytest.raises(ValueError, match='is not known'):
      systems.canonical(name)


def test_every_published_system_is_its_own():
  for name, system in systems.SYSTEMS.items():
    assert systems.canonical(name) == name
    assert system.learner in LEARNERS
    assert system.strategy in STRATEGIES


def test_a_folder_without_an_init_is_a_package(folder):
  (folder / 'bare_c').mkdir()
  (folder / 'bare_c' / 'inner.py').write_text('def thing(): return 5\n')
  assert parts.find('strategy', 'bare_c.inner.thing', {})() == 5


def test_a_function_that_returns_something_else_is_named(folder):
  (folder / 'wrong_d.py').write_text('def thing(**options): pass\n')
  with pytest.raises(
    ValueError, match=r"'wrong_d\.thing' returns NoneType.*Str"
  ):
    strategies.build('wrong_d.thing')
  with pytest.raises(ValueError, match=r"'power_bald' is a system, not a str"):
    systems.canonical('ceal+power_bald')


def test_defaults_that_a_learner_does_not_have_are_no_errors(folder):
  (folder / 'plain_e.py').write_text(
    'from al_jax.learners import supervised\n'
    'def plain(model, facts, *, batch_size=64):\n'
    '  return supervised(model, facts, batch_size=batch_size)\n'
  )
  config = manifest.plain_config(defaults.get_config().to_dict())
  config['systems'] = ['plain_e.plain+margin']
  options.check_system_options(config)
  config['learner']['weights'] = 'warm'
  with pytest.raises(ValueError, match="has no option 'weights'"):
    options.check_system_options(config)


def outer(*, option=1):
  def inner():
    return option

  return inner


@dataclasses.dataclass
class Options:
  width: int = 3
  kind: object = None


def test_a_part_is_called_by_what_made_it():
  here = __name__
  for part, name in (
    ('margin', 'margin'),
    (outer, f'{here}.outer'),
    (outer(), f'{here}.outer'),
    (functools.partial(outer, option=2), f'{here}.outer(option=2)'),
    (Options(), f'{here}.Options()'),
    (Options(5, outer), f'{here}.Options(width=5, kind={here}.outer)'),
    (tuple([outer(), outer]), f'{here}.outer'),
    ({'name': 'focal'}, 'focal'),
    ({'name': outer, 'option': 2}, f'{here}.outer(option=2)'),
    (3, 'builtins.int'),
  ):
    assert parts.name_of(part) == name


def test_own_parts_are_found_wherever_they_are_nested():
  given = {'a': outer, 'b': {'c': [1, 'x', outer()]}, 'd': None, 'e': 3}
  found = parts.own_among(given)
  digest = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
  own = {'name': f'{__name__}.outer', 'modules': {__name__: digest}}
  assert found == {
    'a': {**own, 'options': {'defaults': '[None, {option: 1}]'}},
    'b.c.2': {**own, 'options': {'option': '1'}},
  }


def test_what_one_function_made_is_told_apart_by_its_options():
  kinds = [
    outer(option=1),
    outer(option=2),
    strategies.margin(),
    strategies.entropy(),
    strategies.margin(num_samples=3),
    systems.build,
    jax.jit(outer(option=3)),
    jax.jit(outer(option=4)),
  ]
  found = [parts.own_among({'a': kind}) for kind in kinds]
  assert all(found.count(one) == 1 for one in found)
  assert parts.own_among({'a': strategies.margin()}) == found[2]
  assert found[2]['a']['modules'] == {}


class Scaled:
  def __init__(self, by):
    self.by = by

  def __call__(self, logits, targets):
    return self.by * logits


def with_default(by):
  def loss(logits, targets, scale=by):
    return scale * logits

  return loss


def with_array(values):
  def loss(logits, targets):
    return values * logits

  return loss


def in_a_notebook(text):
  names = {'__name__': '__main__'}
  exec(text, names)
  return names['loss']


def test_what_a_function_keeps_tells_it_apart():
  pairs = [
    (with_default(1), with_default(2)),
    (Scaled(1), Scaled(2)),
    (Scaled(1).__call__, Scaled(2).__call__),
    (with_array(np.arange(3)), with_array(np.arange(3) + 1)),
    (with_array(jax.numpy.arange(3)), with_array(jax.numpy.ones(3))),
    (
      functools.partial(outer, option=np.zeros(2)),
      functools.partial(outer, option=np.ones(2)),
    ),
    (
      in_a_notebook('loss = lambda logits, targets: logits * 2'),
      in_a_notebook('loss = lambda logits, targets: logits * 3'),
    ),
  ]
  for first, second in pairs:
    one, other = (parts.own_among({'loss': each}) for each in (first, second))
    assert one != other
  text = 'def loss(a, b):\n  return a if b in {"x", "y"} else [c for c in a]'
  one, other = (
    parts.own_among({'loss': in_a_notebook(each)})
    for each in (text, f'\n\n{text}')
  )
  assert one == other


def test_a_function_in_a_config_is_named_by_its_path():
  with pytest.raises(ValueError, match=r'config\.learner\.loss .* dotted path'):
    manifest.plain_config({'learner': {'loss': outer}})


def test_losses_and_augmentations_of_a_config_are_parts_of_it():
  config = manifest.plain_config(defaults.get_config().to_dict())
  config['learner']['loss'] = {'name': 'mine.loss', 'gamma': 2}
  config['learner']['augment'] = ['flip', {'name': 'mine.augment'}]
  found = options.parts_of('margin', config)
  assert {'mine.loss', 'mine.augment', 'flip'} < {*found}
