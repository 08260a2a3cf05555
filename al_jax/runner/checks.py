"""Rejects invalid configs before any data are read."""

from collections.abc import Mapping

from al_jax import errors, keys, oracle, sources, systems
from al_jax.loop import ledger, protocol
from al_jax.models.backbones import embedding
from al_jax.runner import features, options, stream, synthesis
from al_jax.runner.options import Config

# Fields of al_jax/runner/defaults.py.
FIELDS = (
  'data',
  'systems',
  'seeds',
  'first_seed',
  'model',
  'learner',
  'strategy',
  'subset_size',
  'prefilter',
  'protocol',
  'oracle',
  'prices',
  'describe',
  'full_labels',
  'pretraining',
  'synthesis',
  'stream',
  'placement',
  'chunk_size',
)
_MAPPINGS = (
  'model',
  'learner',
  'strategy',
  'protocol',
  'oracle',
  'prices',
  'describe',
  'pretraining',
  'synthesis',
  'stream',
)
# Annotators after the first set.
_ANNOTATORS = ('person', 'machine')
# Fields of `describe`.
_DESCRIBE = ('batches', 'dropout_samples', 'probe')
# Upper bound that catches typos.
_MOST_SEEDS = 10_000


def check_options(config: Config) -> None:
  """Rejects unknown fields, missing fields, and invalid values.

  Args:
    config: config as plain values.

  Raises:
    ValueError: names the first error.
  """
  for name in config:
    if name not in FIELDS:
      raise errors.unknown_name('config field', name, FIELDS)
  for name in FIELDS:
    if name not in config:
      raise ValueError(
        f'the config has no field {name!r}; see al_jax/runner/defaults.py.'
      )
  for name in _MAPPINGS:
    errors.check_mapping(f'config.{name}', config[name])
  protocol_of(config)
  seed_list(config)
  _check_oracle(config)
  errors.check_name('placement', config['placement'], sources.PLACEMENTS)
  errors.check_number('chunk_size', config['chunk_size'], int, least=1)
  errors.check_number(
    'subset_size', config['subset_size'], int, least=1, optional=True
  )
  errors.check_flag('full_labels', config['full_labels'])
  synthesis.of_config(config)
  passing = stream.of_config(config)
  if passing is not None:
    passing.check_protocol(protocol_of(config))
  _refuse_learner_name(config)
  options.system_names(config)
  for name in config['describe']:
    if name not in _DESCRIBE:
      raise errors.unknown_option('describe', name, _DESCRIBE)
  for name in _DESCRIBE:
    if name not in config['describe']:
      raise ValueError(
        f'describe has no {name!r}; see al_jax/runner/defaults.py.'
      )
  errors.check_flag('describe.batches', config['describe']['batches'])
  probe = config['describe']['probe']
  if probe is not None and probe is not True:
    if not isinstance(probe, Mapping):
      raise ValueError(
        f'describe.probe is {probe!r}; it must be None, True, or options of a '
        'published network.'
      )
    errors.check_options('describe.probe', embedding.embedded, probe)
    errors.check_required('describe.probe', embedding.embedded, probe)


def _check_oracle(config):
  """Rejects an annotator that cannot answer, and unknown prices."""
  options = dict(config['oracle'])
  annotator = options.pop('annotator', 'person')
  errors.check_name('oracle.annotator', annotator, _ANNOTATORS)
  errors.check_options('oracle', oracle.SimulatedOracle, options)
  if annotator == 'machine' and config['synthesis']:
    raise ValueError(
      "oracle.annotator is 'machine' but queries are made (config.synthesis): "
      "a model cannot label what it made itself; set it to 'person'."
    )
  if annotator == 'machine' and protocol_of(config).first_set == 'none':
    raise ValueError(
      "oracle.annotator is 'machine' and protocol.first_set is 'none': an "
      'untrained model would answer its own queries; choose another first_set, '
      'which people label.'
    )
  for name, price in config['prices'].items():
    errors.check_name(
      'the option', f'prices.{name}', [f'prices.{who}' for who in ledger.PRICES]
    )
    errors.check_number(f'prices.{name}', price, least=0)


def _refuse_learner_name(config):
  """Rejects the former option that chose the learner apart from the system."""
  name = config['learner'].get('name')
  if name is None:
    return
  together = [
    f'{name}+{systems.published(system).strategy}'
    for system in options.system_names(config)
  ]
  raise ValueError(
    f'config.learner.name is {name!r}, but the learner is a part of the '
    f'system: write config.systems={",".join(together)} instead.'
  )


def protocol_of(config: Config) -> protocol.Protocol:
  """Returns the protocol of a config."""
  given = dict(config['protocol'])
  given.pop(features.FIELD, None)
  fields = protocol.Protocol.__dataclass_fields__
  for name in given:
    if name not in fields:
      raise errors.unknown_option('protocol', name, [*fields, features.FIELD])
  return protocol.Protocol(**given)


def seed_list(config: Config) -> tuple[int, ...]:
  """Returns the seeds of a config, starting at `first_seed`."""
  count, first = config['seeds'], config['first_seed']
  errors.check_number('config.seeds', count, int, least=1, most=_MOST_SEEDS)
  errors.check_number('config.first_seed', first, int, least=0)
  seeds = tuple(range(first, first + count))
  keys.for_run(seeds[-1], keys.INITIALISE)  # raises if a key cannot hold it
  return seeds
