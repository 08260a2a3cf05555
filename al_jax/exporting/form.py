"""Writes, reads and checks the config.json of an exported model."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import al_jax
from al_jax import files, parts, tasks
from al_jax.data import named
from al_jax.interfaces import Facts
from al_jax.storage import workdir

CONFIG, WEIGHTS = 'config.json', 'weights.safetensors'
# Incremented when earlier versions cannot read the files of a later one.
FORMAT = 1
# Required fields of a config, and their types.
_FIELDS = {
  'format': int,
  'al_jax': str,
  'model': dict,
  'task': dict,
  'inputs': dict,
  'facts': dict,
  'chunk_size': int,
  'run': dict,
  'modules': dict,
  'weights': dict,
  'digest': str,
}
_MODALITIES = 'modalities'


def build(
  facts: Facts,
  model: Mapping[str, Any],
  weights: pathlib.Path,
  run: Mapping[str, Any],
  *,
  chunk_size: int,
) -> dict[str, Any]:
  """Describes a model in JSON values.

  Args:
    facts: Facts that the model was built for.
    model: `name` and options of its network, see `models.without_files`.
    weights: Path of its weights.
    run: Origin of the model.
    chunk_size: Rows per forward pass in the evaluations of the run.

  Returns:
    The content of config.json.
  """
  of_each = named.mapped(
    lambda name, example: {
      'shape': list(example.shape),
      'dtype': str(example.dtype),
      'mean': np.asarray(_of(facts.mean, name)).tolist(),
      'std': np.asarray(_of(facts.std, name)).tolist(),
    },
    facts.example,
  )
  is_single = not isinstance(facts.example, dict)
  return {
    'format': FORMAT,
    'al_jax': al_jax.__version__,
    'model': dict(model),
    'task': tasks.to_json(facts.task),
    'inputs': of_each if is_single else {_MODALITIES: of_each},
    'facts': {
      'num_examples': facts.num_examples,
      'label_budget': facts.label_budget,
    },
    'chunk_size': chunk_size,
    'run': dict(run),
    'modules': parts.digests([model['name']]),
    'weights': {'file': WEIGHTS, 'sha256': files.checksum(weights)},
  }


def _of(values, name):
  return values[name] if name else values


def write(folder: pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes config.json, as the last file: it marks the folder as complete."""
  content = files.json_value(dict(config))
  content['digest'] = files.digest(content)
  text = json.dumps(content, indent=2, allow_nan=False)
  with files.replacing(folder / CONFIG) as partial:
    partial.write_text(text + '\n', encoding='utf-8')


def read(folder: pathlib.Path) -> dict[str, Any]:
  """Reads config.json, and verifies the checksum of the weights.

  Args:
    folder: Folder of an exported model.

  Returns:
    The content of config.json, as from `build`.

  Raises:
    ValueError: If the folder has no model, a model of a later version, or one
      whose files were changed.
    WorkdirError: If a file is a link.
  """
  path = folder / CONFIG
  for each in (path, folder / WEIGHTS):
    workdir.refuse_link(each)
    if not each.is_file():
      raise ValueError(
        f'{folder} holds no exported model: there is no {each.name}. al-jax '
        'export writes one.'
      )
  try:
    config = json.loads(path.read_text(encoding='utf-8'))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON: {error}.') from error
  _check(path, config)
  if files.checksum(folder / WEIGHTS) != config['weights'].get('sha256'):
    raise ValueError(
      f'{folder / WEIGHTS} has changed since it was exported (it does not fit '
      f'its checksum in {CONFIG}): put a copy of it back, or export again.'
    )
  return config


def _check(path, config):
  """Raises ValueError unless a config is complete, unchanged and readable."""
  if not isinstance(config, dict) or not isinstance(config.get('format'), int):
    raise ValueError(
      f"{path} is not a config of an exported model: it has no 'format'."
    )
  if config['format'] > FORMAT:
    raise ValueError(
      f'{path} has format {config["format"]}, of al_jax '
      f'{config.get("al_jax")}; this version, {al_jax.__version__}, reads up '
      f'to {FORMAT}: update it.'
    )
  for name, kind in _FIELDS.items():
    if not isinstance(config.get(name), kind):
      raise ValueError(
        f'{path} is damaged: {name} is {config.get(name)!r}; put a copy of it '
        'back, or export again.'
      )
  if config.pop('digest') != files.digest(config):
    raise ValueError(
      f'{path} has changed since it was exported (it does not fit its '
      'checksum): put a copy of it back, or export again.'
    )


def facts_of(path: pathlib.Path, config: Mapping[str, Any]) -> Facts:
  """Reads the facts that a model was built for.

  Args:
    path: Path of the config, for messages.
    config: Config from `read`.

  Returns:
    Facts.

  Raises:
    ValueError: If a field cannot be read.
  """
  try:
    of_each = config['inputs'].get(_MODALITIES, config['inputs'])
    if _MODALITIES not in config['inputs']:
      of_each = _array(of_each)
    else:
      of_each = {name: _array(each) for name, each in of_each.items()}
    example, mean, std = (
      named.mapped(lambda _, each, at=at: each[at], of_each) for at in range(3)
    )
    return Facts(
      task=tasks.from_json(config['task']),
      example=example,
      mean=mean,
      std=std,
      **config['facts'],
    )
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'{path} is damaged: {type(error).__name__}: {error}; put a copy of it '
      'back, or export again.'
    ) from error


def _array(said):
  """Returns shape and dtype of an example, its mean and its std."""
  example = jax.ShapeDtypeStruct(tuple(said['shape']), np.dtype(said['dtype']))
  mean, std = (np.asarray(said[name], np.float32) for name in ('mean', 'std'))
  return example, mean, std
