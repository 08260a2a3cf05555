"""Loads an exported model as a function of inputs."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from al_jax import errors, files, inference, models, parts, sources
from al_jax.data import named
from al_jax.exporting import form, tensors
from al_jax.interfaces import Facts, ModelFns, ModelOutput, PyTree
from al_jax.tasks import Task
from al_jax.tasks.base import Predictions
from al_jax.training import forward


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
  """A trained model: call it with inputs.

  Attributes:
    facts: Facts it was built for: shape and dtype of an example, constants that
      normalise inputs, the task.
    fns: Network as pure functions.
    variables: Weights of the network.
    config: Content of config.json.
  """

  facts: Facts
  fns: ModelFns
  variables: PyTree
  config: Mapping[str, Any]

  def __repr__(self) -> str:
    name, run = self.config['model']['name'], self.config['run']
    return (
      f'Model({name!r}, {self.task.describe()}, inputs '
      f'{_described(self.facts.example)}, of {run["system"]}, seed '
      f'{run["seed"]}, {run["labels"]} labels)'
    )

  @property
  def task(self) -> Task:
    """The task of the model."""
    return self.facts.task

  def __call__(self, inputs: Any) -> ModelOutput:
    """Evaluates a batch.

    Args:
      inputs: [B, ...], in the form of the pool before normalisation: numbers of
        any type, or a data frame, for a table; uint8 for uint8 pictures; a dict
        for modalities.

    Returns:
      ModelOutput: predictions (logits of classes, numbers in units of scale),
      the embedding, extras.

    Raises:
      ValueError: If inputs have another shape or dtype.
    """
    return self._jitted(self.variables, self.read(inputs))

  def predict(
    self, inputs: Any, *, chunk_size: int | None = None
  ) -> Predictions:
    """Predicts any number of examples, chunk by chunk.

    Predictions are bit-identical to those in the evaluations of the run if all
    rows, the chunk size, the machine and the versions are the same.

    Args:
      inputs: [N, ...], see `__call__`; may be memory-mapped.
      chunk_size: Rows per forward pass. If None, as in the run.

    Returns:
      Predictions as NumPy arrays, [N, ...].

    Raises:
      ValueError: If inputs have another shape or dtype, or are empty.
    """
    inputs = self.read(inputs)
    size = self.config['chunk_size'] if chunk_size is None else chunk_size
    errors.check_number('chunk_size', size, int, least=1)
    if not sources.length(inputs):
      raise ValueError('inputs are [0, ...]; there must be an example.')
    return jax.device_get(self._mapped(size)(self.variables, inputs))

  def read(self, inputs: Any) -> PyTree:
    """Converts inputs to arrays of the types used in training.

    Args:
      inputs: Inputs, see `__call__`.

    Raises:
      ValueError: If inputs differ in form, shape or dtype from those in
        training.
    """
    wanted, found = named.arrays(self.facts.example), named.arrays(inputs)
    if set(wanted) != set(found):
      raise ValueError(
        f'inputs are {_names(found)}; the model takes {_names(wanted)}.'
      )
    for name, example in wanted.items():
      array = found[name]
      if not isinstance(array, np.ndarray | jax.Array):
        array = np.asarray(array)
      if example.dtype == np.float32 and array.dtype.kind in 'biuf':
        # No copy of a float32 array: it may be memory-mapped.
        array = array.astype(np.float32, copy=False)
      found[name], shape, dtype = array, array.shape, array.dtype
      if not shape or shape[1:] != tuple(example.shape):
        rows = ', '.join(['N', *map(str, example.shape)])
        raise ValueError(
          f'{named.what(name)} have shape {list(shape)}; the model takes '
          f'[{rows}].'
        )
      if dtype != example.dtype:
        raise ValueError(
          f'{named.what(name)} have dtype {dtype}; the model takes '
          f'{example.dtype}.'
        )
    return found if isinstance(self.facts.example, dict) else found['']

  @functools.cached_property
  def _jitted(self):
    return jax.jit(functools.partial(forward.apply, self.fns))

  @functools.cached_property
  def _mapped(self):
    """Makes a map over examples, once for each chunk size."""

    def predictions(variables, batch):
      return forward.apply(self.fns, variables, batch.inputs).predictions

    return functools.cache(
      lambda size: inference.make_pool_map(predictions, chunk_size=size)
    )


def _described(example):
  """Describes the dtype and shape of an example."""
  return ', '.join(
    f'{name} {leaf.dtype}{list(leaf.shape)}'.strip()
    for name, leaf in named.arrays(example).items()
  )


def _names(arrays):
  """Describes the names of inputs, for a message."""
  listed = ', '.join(arrays)
  return f'the modalities {listed}' if listed else 'one array'


@errors.needs('al_jax.load_model')
def load_model(folder: files.Path) -> Model:
  """Loads an exported model.

  A network of your own is imported by the dotted path in config.json.

  Args:
    folder: Folder written by `al-jax export` or `al_jax.export`.

  Returns:
    A Model, which is called with inputs.

  Raises:
    ValueError: If the folder has no model, its files were changed, it is of a
      later version, or a network of your own cannot be imported or was edited.
  """
  folder = pathlib.Path(folder)
  config = form.read(folder)
  facts = form.facts_of(folder / form.CONFIG, config)
  fns = build(facts, config['model'])
  _refuse_edited(folder, config)
  shapes = jax.eval_shape(fns.init, jax.random.key(0))
  return Model(facts, fns, tensors.read(folder / form.WEIGHTS, shapes), config)


def build(facts: Facts, options: Mapping[str, Any]) -> ModelFns:
  """Builds the network of an exported model.

  Args:
    facts: Facts that the model was built for.
    options: Name and options of the network.

  Returns:
    The network, without weights.
  """
  return models.build(facts=facts, **models.without_files(options))


def _refuse_edited(folder, config):
  """Raises ValueError if a user's network was edited since the export."""
  now = parts.digests([config['model']['name']])
  for module, digest in config['modules'].items():
    if now.get(module) != digest:
      raise ValueError(
        f'{parts.file_of(module)[0]}, the file of {module}, was edited after '
        f'the model in {folder} was exported; undo the edit, or export again.'
      )
