"""The compiled functions of a system on a data set, made once per run.

Seeds, rounds and resumed runs share them: nothing is compiled after the first
round.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from al_jax import errors, inference, kernels, sources, systems, tasks
from al_jax import pool as pool_lib
from al_jax.data import Dataset
from al_jax.interfaces import Facts, LearnerState
from al_jax.loop import (
  batch_diagnostics,
  compiled_stream,
  evaluation,
  stages,
)
from al_jax.loop import probe as probe_lib
from al_jax.loop import synthesis as synthesis_lib
from al_jax.loop.stream import Stream
from al_jax.pool import PoolState
from al_jax.sources import Source, Sources
from al_jax.tasks.base import Targets
from al_jax.training import course, fit

# Upper bound that catches typos: each sample is a pass over the test split.
_MOST_SAMPLES = 10_000


class Program(NamedTuple):
  """The functions that the loop calls.

  Attributes:
    system: the compiled system.
    ids: [N], names of the pool's examples, for records and messages.
    fit: the functions of a round's training.
    init: `(key) -> learner state`.
    embed: `(learner state) -> [N, D]`, embeddings of the pool.
    evaluate: `(key, learner state) -> (metrics, class_accuracy)` on the test
      split; None if there is none.
    validate: the same on the validation split; None if there is none.
    describe: `(learner state, picks, k) -> description` of a batch of queries;
      None if it was not requested.
    pseudo_labels: `(learner state, pool) -> int32[N]`; None if the learner
      makes no pseudo-labels.
    pictures: `(key, learner state, pool) -> {name: images}`; None if the
      learner gives none.
    predict: `(learner state, picks) -> (targets, probabilities)`, predictions
      for a few examples of the pool, and the probabilities of the predicted
      classes; these are None if the task has other parts than classes.
    strategy: the compiled strategy, with the stages that propose its
      candidates.
    synthesis: makes queries; None if they are taken from the pool.
    stream: passes the pool once, example by example. If None, the whole pool is
      available in every round.
    probe: measures how many queries fixed features answer; None if it was not
      requested.
    reveal: `pool.reveal`.
    first_bad: `(measured, mask) -> int32`: the first masked example with a
      float that is not finite; N if there is none.
  """

  system: systems.System
  ids: np.ndarray
  fit: fit.FitFns
  init: Callable[[jax.Array], LearnerState]
  embed: Callable[[LearnerState], jax.Array]
  evaluate: Callable[..., Any] | None
  validate: Callable[..., Any] | None
  describe: Callable[..., dict[str, float]] | None
  pseudo_labels: Callable[..., jax.Array] | None
  pictures: Callable[..., Any] | None
  predict: Callable[..., tuple[Targets, np.ndarray | None]]
  strategy: stages.CompiledStrategy
  synthesis: synthesis_lib.CompiledSynthesis | None
  stream: compiled_stream.CompiledStream | None
  probe: probe_lib.Probe | None
  reveal: Callable[..., PoolState]
  first_bad: Callable[..., jax.Array]


def facts_of(
  dataset: Dataset, label_budget: int, *, made_capacity: int = 0
) -> Facts:
  """Collects the facts of a data set that are known before any label.

  Args:
    dataset: the data set; its training split is the pool.
    label_budget: maximum number of labels that the run can hold.
    made_capacity: maximum number of made examples.

  Returns:
    The Facts.
  """
  errors.check_number('made_capacity', made_capacity, int, least=0)
  example = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
    dataset.train.inputs,
  )
  return Facts(
    num_examples=len(dataset.train),
    task=dataset.task,
    label_budget=min(label_budget, len(dataset.train) + made_capacity),
    example=example,
    mean=dataset.mean,
    std=dataset.std,
    made_capacity=made_capacity,
  )


def sources_of(dataset: Dataset, placement: str = 'auto') -> Sources:
  """Returns the splits of a data set as sources, the pool without its answers.

  Args:
    dataset: the data set.
    placement: see `sources.place`.

  Returns:
    `'pool'`, and `'test'` and `'validation'` if the data set has them.
  """

  def known(split):
    inputs = sources.place(split.inputs, placement)
    return Source(inputs, pool_lib.fully_labelled(split.targets))

  found = {'pool': Source(sources.place(dataset.train.inputs, placement))}
  for name in ('test', 'validation'):
    split = getattr(dataset, name)
    if split is not None:
      found[name] = known(split)
  return found


def check_sources(system: systems.System, names: Collection[str]) -> None:
  """Rejects a system that surveys a source which does not exist.

  Args:
    system: a learner and a strategy.
    names: names of the sources.

  Raises:
    ValueError: the learner surveys a split that the data set does not have.
  """
  for name, survey in system.learner.surveys.items():
    if survey.source not in names:
      why = ' (stop.patience)' if name == course.VALIDATION else ''
      raise ValueError(
        f'system {system.name!r} needs a {survey.source} split{why}, and the '
        'data set has none: add a validation_split transform.'
      )


def check_samples(system: systems.System, num_samples: int) -> None:
  """Rejects dropout samples of a model without dropout.

  Args:
    system: a learner and a strategy.
    num_samples: number of samples whose mean is evaluated; 0 for none.

  Raises:
    ValueError: there is no dropout, or the number is out of its range.
  """
  errors.check_number(
    'dropout samples of an evaluation',
    num_samples,
    int,
    least=0,
    most=_MOST_SAMPLES,
  )
  if num_samples and not system.has_dropout:
    raise ValueError(
      f'{num_samples} dropout samples are to be evaluated; the model has no '
      'dropout to sample.'
    )


def compile_program(
  system: systems.System,
  all_sources: Sources,
  ids: np.ndarray,
  *,
  num_lanes: int = 1,
  chunk_size: int = 1000,
  describe_batches: bool = False,
  evaluate_samples: int = 0,
  synthesis: synthesis_lib.Synthesis | None = None,
  stream: Stream | None = None,
  probe: np.ndarray | None = None,
) -> Program:
  """Compiles the functions of a system.

  Args:
    system: a learner and a strategy.
    all_sources: see `sources_of`.
    ids: [N], names of the pool's examples.
    num_lanes: seeds per call of the training; more than one are `vmap`ped.
    chunk_size: rows per forward pass over a split.
    describe_batches: whether to record a description of each batch of queries.
    evaluate_samples: number of dropout samples whose mean is evaluated too; 0
      for none.
    synthesis: options for making queries. If None, they are taken from the
      pool.
    stream: options of the stream. If None, the pool is not a stream.
    probe: float32[N, D], features of a linear classifier that is evaluated on
      the queries. If None, there is no probe.

  Returns:
    A Program.

  Raises:
    ValueError: a number is out of its range, or parts do not fit together.
  """
  learner, facts = system.learner, system.facts
  errors.check_number('num_lanes', num_lanes, int, least=1)
  errors.check_number('chunk_size', chunk_size, int, least=1)
  errors.check_flag('describe_batches', describe_batches)
  check_samples(system, evaluate_samples)
  _check_passes(stream, describe_batches or synthesis is not None)
  check_sources(system, all_sources)
  _check_pool(facts, all_sources['pool'], ids)
  system.check_predictions()
  evaluations = _evaluations(
    system, all_sources, chunk_size=chunk_size, num_samples=evaluate_samples
  )
  return Program(
    system=system,
    ids=ids,
    fit=fit.compile_fit(
      learner,
      facts,
      all_sources,
      num_lanes=num_lanes,
      chunk_size=chunk_size,
    ),
    init=jax.jit(learner.init),
    embed=_embedding(learner, all_sources['pool'].inputs, chunk_size),
    evaluate=evaluations.get('test'),
    validate=evaluations.get('validation'),
    describe=_describing(system, all_sources) if describe_batches else None,
    strategy=stages.compile_strategy(
      system.strategy,
      learner,
      all_sources['pool'].inputs,
      chunk_size=chunk_size,
    ),
    pseudo_labels=_jitted(learner.pseudo_labels),
    pictures=_jitted(learner.pictures),
    predict=evaluation.make_predict(
      learner, facts.task, all_sources['pool'].inputs
    ),
    synthesis=_synthesising(synthesis, system, all_sources),
    stream=_streaming(stream, system, all_sources),
    probe=_probing(probe, facts),
    reveal=jax.jit(pool_lib.reveal),
    first_bad=jax.jit(_first_bad),
  )


def _evaluations(system, all_sources, **options):
  """Compiles the evaluation of a model on each held-out split."""
  return {
    split: evaluation.make_evaluate(
      system.learner, all_sources[split], system.facts.task, **options
    )
    for split in sources.HELD_OUT
    if split in all_sources
  }


def _describing(system, all_sources):
  """Compiles the description of a batch, for tasks of classes."""
  tasks.need_classes(system.facts.task, 'describe_batches')
  system.need_embedding('describe_batches')
  return batch_diagnostics.make_describe(
    system.learner, system.facts, all_sources['pool'].inputs
  )


def _probing(features, facts):
  """Makes the probe, if there are features for it."""
  if features is None:
    return None
  task = tasks.need_classes(facts.task, 'describe.probe')
  return probe_lib.Probe(features, len(task.names))


def _synthesising(synthesis, system, all_sources):
  """Compiles the synthesis of queries, if there is one."""
  if synthesis is None:
    return None
  inputs = all_sources['pool'].inputs
  return synthesis_lib.compile_synthesis(synthesis, system, inputs)


def _check_passes(stream, looks_over_pool):
  """Rejects a stream together with options that read the whole pool."""
  if stream is not None and looks_over_pool:
    raise ValueError(
      'a stream cannot be combined with synthesis or describe_batches: they '
      'read examples that have not passed yet.'
    )


def _streaming(stream, system, all_sources):
  """Compiles the stream, if there is one."""
  if stream is None:
    return None
  return compiled_stream.compile_stream(
    stream, system, all_sources['pool'].inputs
  )


def _jitted(function):
  return None if function is None else jax.jit(function)


def _embedding(learner, inputs, chunk_size):
  def embed(state, batch):
    return learner.apply(state, batch.inputs).embedding

  map_pool = inference.make_pool_map(embed, chunk_size=chunk_size)
  return lambda state: map_pool(state, inputs)


def _check_pool(facts, pool, ids):
  """Checks that the pool and its names have the size of the system."""
  for name, number in (
    ('the pool', sources.length(pool.inputs)),
    ('ids', len(ids)),
  ):
    if number != facts.num_examples:
      raise ValueError(
        f'{name} has {number} examples; the system was built for '
        f'{facts.num_examples}.'
      )


def _first_bad(measured, mask):
  num_examples = len(mask)
  if isinstance(measured, kernels.Sharded):
    measured = measured.rows
    size = jax.tree.leaves(measured)[0].shape[0]
    mask = jnp.pad(mask, (0, size - num_examples))
  bad = jnp.zeros_like(mask)
  for leaf in jax.tree.leaves(measured):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      rows = jnp.isfinite(leaf).reshape(len(mask), -1)
      bad |= mask & ~jnp.all(rows, axis=1)
  return jnp.where(jnp.any(bad), jnp.argmax(bad), num_examples)
