"""What `config.stream` says: the pool passes once, example by example."""

import dataclasses
import inspect

from al_jax import errors
from al_jax.loop.stream import READ_BY, Stream
from al_jax.runner.options import Config

# Fields of the config that look at examples before they have come.
_OF_POOL = ('synthesis', 'prefilter', 'subset_size', 'pretraining')
# Options that a strategy which picks in windows does not read.
_OF_MANAGERS = ('manager', 'window', 'lookahead', *READ_BY)


def of_config(config: Config) -> Stream | None:
  """How a stream is passed; None if the pool is not a stream.

  Args:
    config: as plain values.

  Returns:
    Stream.

  Raises:
    ValueError: an unknown option, a value that is not allowed, options that
      nothing would read, or fields that do not go with a stream.
  """
  given = config['stream']
  if not given:
    return None
  fields = inspect.signature(Stream).parameters
  for option in given:
    if option not in fields:
      raise errors.unknown_option('config.stream', option, fields)
  if 'manager' not in given and given.get('batch_window') is None:
    raise ValueError(
      f'config.stream is {dict(given)}; it needs a `manager` or a '
      '`batch_window`.'
    )
  stream = Stream(**given)
  _check_read(given, stream)
  _check_fields(config)
  return stream


def _check_read(given, stream):
  """Refuses options that nothing would read."""
  for option in given:
    if stream.batch_window is not None and option in _OF_MANAGERS:
      raise ValueError(
        f'config.stream.{option} is set, and with stream.batch_window the '
        'strategy picks and no manager: leave one of them out.'
      )
    readers = READ_BY.get(option, (stream.manager,))
    if stream.manager not in readers:
      raise ValueError(
        f'config.stream.{option} is set, and manager {stream.manager!r} does '
        f'not read it, but {" and ".join(readers)}: leave it out.'
      )


def _check_fields(config):
  """Refuses what looks at examples that have not come yet."""
  for name in _OF_POOL:
    if config[name]:
      raise ValueError(
        f'config.{name} is set, and of config.stream it would see the future: '
        'leave one of them out.'
      )
  for name in ('batches', 'probe'):
    if config['describe'][name]:
      raise ValueError(
        f'config.describe.{name} looks over the pool, and of config.stream it '
        'would see the future: leave one of them out.'
      )
  if config['oracle'].get('annotator', 'person') != 'person':
    raise ValueError(
      f'config.oracle.annotator is {config["oracle"]["annotator"]!r}, which '
      'answers what the model predicts, and config.stream asks a person: set '
      "it to 'person'."
    )


def as_meant(given: Config) -> Config:
  """Returns `config.stream` with defaults, without what changes no result.

  Args:
    given: as it stands in a config; empty if there is no stream.
  """
  if not given:
    return {}
  found = dataclasses.asdict(Stream(**given))
  del found['lookahead']
  return found
