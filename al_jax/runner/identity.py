"""The identity of runs, and upgrades of configs of earlier versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from al_jax import parts
from al_jax.data import identity as file_identity
from al_jax.models.weights import hub
from al_jax.runner import features, options, stream
from al_jax.runner.config import Experiment
from al_jax.runner.options import Config

# Fields that no checkpoint depends on, apart from its system and seeds, which
# are compared separately.
_OF_NO_RESULT = (
  'systems',
  'seeds',
  'first_seed',
  'full_labels',
  'placement',
  'chunk_size',
)


def upgraded(config: Config, systems: Sequence[str] | None = None) -> Config:
  """Updates a config of an earlier version.

  Earlier configs had a field `system` for a single system; a
  `protocol.target_accuracy` on the test split, without `test_accuracy`; and
  `learner.name`, set to None. They had no `protocol.first_features`,
  `synthesis`, `stream`, `oracle.annotator`, `prices` or `describe.probe`.

  Args:
    config: config of any version, as plain values.
    systems: system names from a manifest. If given, they replace those of a
      config with `system`, which had both fields, whichever of them was run.

  Returns:
    The config in its current form, with `systems` in place of a `system`.
  """
  found = dict(config)
  if 'system' in config:
    single = found.pop('system')
    found['systems'] = single if systems is None else list(systems)
  learner = config.get('learner')
  if isinstance(learner, Mapping) and learner.get('name', '') is None:
    others = {name: learner[name] for name in learner if name != 'name'}
    found['learner'] = others
  proceeding = config.get('protocol')
  if isinstance(proceeding, Mapping) and 'test_accuracy' not in proceeding:
    renamed = _with_test_accuracy({'protocol': proceeding})['protocol']
    found['protocol'] = {
      'test_accuracy': None,
      **renamed,
      'target_accuracy': None,
    }
    if 'grid' in config:
      found['grid'] = _with_test_accuracy(config['grid'])
  if isinstance(proceeding, Mapping):
    found['protocol'] = {features.FIELD: None, **found['protocol']}
  if 'pretraining' in found:
    found.setdefault('synthesis', {})
    found.setdefault('stream', {})
  if isinstance(found.get('oracle'), Mapping):
    found['oracle'] = {'annotator': 'person', **found['oracle']}
    found.setdefault('prices', {})
  if isinstance(found.get('describe'), Mapping):
    found['describe'] = {'probe': None, **found['describe']}
  return found


def _with_test_accuracy(changes):
  """Renames `protocol.target_accuracy` at any depth of a grid."""
  if isinstance(changes, list | tuple):
    return [_with_test_accuracy(part) for part in changes]
  if not isinstance(changes, Mapping):
    return changes
  found = {name: _with_test_accuracy(part) for name, part in changes.items()}
  proceeding = found.get('protocol')
  if isinstance(proceeding, dict) and 'target_accuracy' in proceeding:
    proceeding['test_accuracy'] = proceeding.pop('target_accuracy')
  return found


def upgraded_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
  """Updates an identity from an earlier version's `identity_of`."""
  return {**identity, 'config': upgraded(identity.get('config', {}))}


def identity_of(experiment: Experiment, name: str) -> dict[str, Any]:
  """Returns everything that may change the results of a system and seed.

  Args:
    experiment: experiment of the runs.
    name: name of the system.

  Returns:
    The `identity` for `loop.run_rounds`.
  """
  config = {
    name: value
    for name, value in experiment.config.items()
    if name not in _OF_NO_RESULT
  }
  config['protocol'] = {
    name: value
    for name, value in config['protocol'].items()
    if name != 'save_every_steps'
  }
  config['stream'] = stream.as_meant(config['stream'])
  identity = {'config': config, 'data': experiment.dataset.fingerprint}
  # Features from a pretraining follow from the config.
  if experiment.config['protocol'].get(features.FIELD) is not None:
    identity[features.FIELD] = features.fingerprint(experiment.features)
  for what, given in (
    ('weights', config['model']),
    ('probe_weights', config['describe']['probe']),
  ):
    found = hub.named_in(given) if isinstance(given, Mapping) else []
    if found:
      identity[what] = file_identity.of_files(found)
  spec, resolved = config['data'], experiment.dataset.normalize
  is_given = isinstance(spec, Mapping) and spec.get('normalize')
  # 'channel' has always been the default for pictures. Leaving it out lets runs
  # resume that began before the identity had defaults.
  if not is_given and resolved != 'channel':
    identity['normalize'] = resolved
  modules = parts.digests(options.parts_of(name, experiment.config))
  if modules:
    identity['modules'] = modules
  return identity
