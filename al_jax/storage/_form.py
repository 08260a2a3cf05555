"""Schema of a manifest, which detects damaged ones."""

from collections.abc import Mapping
from typing import Any

from al_jax import files, tasks

# Maps each field to its type, or to the fields that a mapping must have.
_FIELDS = {
  'config': dict,
  'data': {
    'name': str,
    'fingerprint': str,
    'train': int,
    'test': int,
  },
  'records_format': int,
  'versions': dict,
  'device': {'kind': str, 'count': int},
  'git': {'commit': str, 'dirty': bool},
  'platform': str,
  'command': str,
  'started': str,
  'finished': str,
  'systems': list,
  'settings': list,
  'axes': dict,
  'digests': dict,
  'report_metrics': dict,
}
_METRIC = {'unit': str, 'larger_is_better': bool}
_OPTIONAL_OF_METRIC = {'meaning': str, 'chance': float}


def check(path: files.Path, manifest: Mapping[str, Any]) -> None:
  """Checks the types of a manifest's fields.

  Args:
    path: path of the file, for the message.
    manifest: contents of the file. Any field may be absent.

  Raises:
    ValueError: a field has the wrong type, or lacks a field of its own.
  """
  for name, kind in _FIELDS.items():
    # `git` is None when the code did not run from a checkout.
    if name in manifest and (name, manifest[name]) != ('git', None):
      _check_field(path, name, manifest[name], kind)
  if 'data' in manifest:
    _check_task(path, manifest['data'])
  for name, metric in manifest.get('report_metrics', {}).items():
    present = {
      field: kind
      for field, kind in _OPTIONAL_OF_METRIC.items()
      if isinstance(metric, dict) and field in metric
    }
    _check_field(path, f'report_metrics.{name}', metric, _METRIC | present)


def damaged(path: files.Path, why: str) -> ValueError:
  """Makes an error that names the file, the problem and the remedy."""
  return ValueError(f'{path} is damaged: {why}; put a copy of it back.')


def _check_field(path, name, value, kind):
  of_type = dict if isinstance(kind, dict) else kind
  is_flag = isinstance(value, bool)
  if not isinstance(value, of_type) or is_flag != (of_type is bool):
    raise damaged(path, f'{name} is {value!r}')
  if of_type is list and not all(isinstance(each, str) for each in value):
    raise damaged(path, f'{name} is {value!r}')
  for field, inner in kind.items() if isinstance(kind, dict) else ():
    if field not in value:
      raise damaged(path, f'{name} has no {field!r}')
    _check_field(path, f'{name}.{field}', value[field], inner)


def _check_task(path, facts):
  """Checks the task, or the number of classes that older manifests have."""
  if 'task' not in facts:
    _check_field(path, 'data', facts, {'num_classes': int})
    return
  try:
    tasks.from_json(facts['task'])
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise damaged(path, f'data.task is {facts["task"]!r}') from error
