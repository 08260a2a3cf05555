"""Reads `config.stream`: the pool passes once, example by example."""

import dataclasses
import inspect

from al_jax import errors
from al_jax.loop.stream import READ_BY, Stream
from al_jax.runner.options import Config

# Fields of the config that read examples before they have passed.
_OF_POOL = ('synthesis', 'prefilter', 'subset_size', 'pretraining')
# Options that are not read if a strategy picks in windows.
_OF_MANAGERS = ('manager', 'window', 'lookahead', *READ_BY)


def of_config(config: Config) -> Stream | None:
  """Returns the options of a stream; None if the pool is not a stream.

  Args:
    config: config as plain values.

  Returns:
    Stream.

  Raises:
    ValueError: an option is unknown, has an invalid value or would not be read,
      or a field cannot be combined with a stream.
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
  """Rejects options that would not be read."""
  for option in given:
    if stream.batch_window is not None and option in _OF_MANAGERS:
      raise ValueError(
        f'config.stream.{option} is set, but with stream.batch_window the '
        'strategy picks and there is no manager: leave one of them out.'
      )
    readers = READ_BY.get(option, (stream.manager,))
    if stream.manager not in readers:
      raise ValueError(
        f'config.stream.{option} is set, but manager {stream.manager!r} does '
        f'not read it, only {" and ".join(readers)}: leave it out.'
      )


def _check_fields(config):
  """Rejects fields that read examples before they have passed."""
  for name in _OF_POOL:
    if config[name]:
      raise ValueError(
        f'config.{name} is set, but with config.stream it would see the '
        'future: leave one of them out.'
      )
  for name in ('batches', 'probe'):
    if config['describe'][name]:
      raise ValueError(
        f'config.describe.{name} looks over the pool, but with config.stream '
        'it would see the future: leave one of them out.'
      )
  if config['oracle'].get('annotator', 'person') != 'person':
    raise ValueError(
      f'config.oracle.annotator is {config["oracle"]["annotator"]!r}, which '
      "answers with the model's prediction, but config.stream needs a person: "
      "set it to 'person'."
    )


def as_meant(given: Config) -> Config:
  """Returns `config.stream` with defaults, without options that change nothing.

  Args:
    given: stream of a config; empty if there is none.
  """
  if not given:
    return {}
  found = dataclasses.asdict(Stream(**given))
  del found['lookahead']
  return found
