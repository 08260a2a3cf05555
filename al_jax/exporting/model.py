"""An exported model, loaded back: a function of inputs."""

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
    facts: that it was built for: shape and dtype of an example, what normalises
      it, the task.
    fns: the network as pure functions.
    variables: its weights.
    config: what config.json says.
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
    """What is predicted."""
    return self.facts.task

  def __call__(self, inputs: Any) -> ModelOutput:
    """Evaluates a batch.

    Args:
      inputs: [B, ...] as the pool had them, before normalisation: numbers of
        any type for a table, a frame too; uint8 for pictures that were uint8;
        of modalities a dict.

    Returns:
      ModelOutput: predictions (logits of classes, numbers in units of scale),
      the embedding, extras.

    Raises:
      ValueError: inputs of another shape or dtype.
    """
    return self._jitted(self.variables, self.read(inputs))

  def predict(
    self, inputs: Any, *, chunk_size: int | None = None
  ) -> Predictions:
    """Predicts any number of examples, chunk by chunk.

    They are bit for bit what the evaluations of the run saw if all rows, the
    chunk size, machine and versions are the same.

    Args:
      inputs: [N, ...], see `__call__`; may be memory-mapped.
      chunk_size: rows per forward pass. If None, that of the run.

    Returns:
      Predictions of NumPy, [N, ...].

    Raises:
      ValueError: inputs of another shape or dtype, or none.
    """
    inputs = self.read(inputs)
    size = self.config['chunk_size'] if chunk_size is None else chunk_size
    errors.check_number('chunk_size', size, int, least=1)
    if not sources.length(inputs):
      raise ValueError('inputs are [0, ...]; there must be an example.')
    return jax.device_get(self._mapped(size)(self.variables, inputs))

  def read(self, inputs: Any) -> PyTree:
    """Returns inputs as arrays of the training's types.

    Args:
      inputs: see `__call__`.

    Raises:
      ValueError: inputs that are not like those of the training.
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
        # Without a copy of what is float32, which may be memory-mapped.
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
    """Makes a map over examples, of each chunk size once."""

    def predictions(variables, batch):
      return forward.apply(self.fns, variables, batch.inputs).predictions

    return functools.cache(
      lambda size: inference.make_pool_map(predictions, chunk_size=size)
    )


def _described(example):
  """The shape and dtype of an example, for people."""
  return ', '.join(
    f'{name} {leaf.dtype}{list(leaf.shape)}'.strip()
    for name, leaf in named.arrays(example).items()
  )


def _names(arrays):
  """What inputs are, for a message."""
  listed = ', '.join(arrays)
  return f'the modalities {listed}' if listed else 'one array'


@errors.needs('al_jax.load_model')
def load_model(folder: files.Path) -> Model:
  """Loads a model that was exported.

  A network of your own is imported by the dotted path in config.json.

  Args:
    folder: that `al-jax export` or `al_jax.export` wrote.

  Returns:
    A Model, which is called with inputs.

  Raises:
    ValueError: there is no model in the folder, its files were changed, it is
      of a later version, or a network of yours cannot be imported, or was
      edited.
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
    facts: see `Model`.
    options: its name and options.

  Returns:
    The network, whose weights are elsewhere.
  """
  return models.build(facts=facts, **models.without_files(options))


def _refuse_edited(folder, config):
  """A network of the user's own is the one that was trained."""
  now = parts.digests([config['model']['name']])
  for module, digest in config['modules'].items():
    if now.get(module) != digest:
      raise ValueError(
        f'{parts.file_of(module)[0]}, the file of {module}, was edited after '
        f'the model in {folder} was exported; undo the edit, or export again.'
      )
