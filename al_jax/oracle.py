"""The oracle, the only holder of answers that have not been paid for.

Nothing else in the library has the targets of the pool: a learner, a strategy
or the loop must query the oracle, and every query is counted.
"""

import functools
import math
from collections.abc import Callable

import jax
import numpy as np

from al_jax import errors, tasks
from al_jax import pool as pool_lib
from al_jax.interfaces import Answers, Facts, PyTree, Question
from al_jax.tasks import Task


class SimulatedOracle:
  """Oracle that answers from a data set's targets, at a price of 1 per query.

  The answer about an example depends only on the key of the run, not on when it
  is queried, nor on the other queries.
  """

  def __init__(
    self,
    targets: PyTree,
    task: Task,
    unanswerable: np.ndarray | None = None,
    *,
    noise: float = 0.0,
    abstain: float = 0.0,
  ):
    """Makes an oracle that holds the answers.

    Args:
      targets: pytree of [N, ...], the true targets.
      task: task of the targets.
      unanswerable: bool[N], mask of examples that show nothing. A query of one
        is paid for, but gives no label. If None, there are none.
      noise: for classes, the share of answers replaced by another class, drawn
        uniformly; for numbers, the standard deviation of Gaussian noise, in
        units of their scale.
      abstain: share of queries answered with "I don't know", which are paid
        for, but give no label.

    Raises:
      ValueError: a rate is out of range, or the targets do not fit the task.
    """
    # A share for classes, a standard deviation for numbers.
    below = 1 if task.class_names else None
    errors.check_number('oracle.noise', noise, least=0, below=below)
    errors.check_number('oracle.abstain', abstain, least=0, below=1)
    if targets is None:
      raise ValueError(
        'the pool has no targets to answer from: let people label it (al-jax '
        'label), or run without an oracle.'
      )
    targets = jax.tree.map(np.asarray, targets)
    task.check(targets, 'the oracle', None)
    if noise and len(task.class_names) == 1:
      raise ValueError('oracle.noise needs a second class to confuse with.')
    self._targets = targets
    self._task = task
    if unanswerable is None:
      unanswerable = np.zeros(self.num_examples, bool)
    self._unanswerable = np.asarray(unanswerable)
    self._noise = noise
    self._abstain = abstain
    self._drawn = jax.jit(
      jax.vmap(
        functools.partial(_drawn, task, noise, abstain), in_axes=(None, 0, 0)
      )
    )

  @property
  def num_examples(self) -> int:
    """Returns N, the number of answers."""
    return len(jax.tree.leaves(self._targets)[0])

  def check(self, facts: Facts) -> None:
    """Implements `interfaces.Oracle.check`."""
    if self.num_examples != facts.num_examples:
      raise ValueError(
        f'the oracle has {self.num_examples} examples; the system was built '
        f'for {facts.num_examples}.'
      )
    if self._task != facts.task:
      raise ValueError(
        f'the oracle answers {self._task.describe()}; the system was built for '
        f'{facts.task.describe()}.'
      )

  def ask(
    self, key: jax.Array, paid: int, question: Question
  ) -> tuple[int, Answers]:
    """Implements `interfaces.Oracle.ask`."""
    indices = np.asarray(question.indices, np.int32)
    if np.any(indices >= self.num_examples):
      raise ValueError(
        f'example {indices.max()} is queried, but the oracle has '
        f'{self.num_examples} examples. Made examples need an oracle of your '
        'own that looks at their inputs.'
      )
    real = indices >= 0
    rows = np.where(real, indices, 0)
    targets = jax.tree.map(lambda leaf: leaf[rows], self._targets)
    silent = np.zeros(len(indices), bool)
    if self._noise or self._abstain:
      targets, silent = jax.device_get(self._drawn(key, indices, targets))
    silent = silent | self._unanswerable[rows]
    annotator = np.where(silent, pool_lib.ABSTAINED, pool_lib.ORACLE)
    annotator = np.where(real, annotator, pool_lib.NOBODY).astype(np.int8)
    targets = jax.tree.map(
      functools.partial(_where_answered, annotator == pool_lib.ORACLE), targets
    )
    return paid + int(real.sum()), Answers(targets, annotator)

  def balanced_first_set(self, key: jax.Array, k: int) -> np.ndarray:
    """Draws k examples, balanced over classes to within one example.

    Only the oracle can draw them, because this needs the answers. The examples
    must be queried and paid for like any others.

    Args:
      key: key for drawing the examples, and the classes with one more.
      k: number of examples.

    Returns:
      Pool indices, int32[k], cycling through the classes.

    Raises:
      ValueError: there are no classes, or a class has too few examples.
    """
    classes = self._task.strata(self._targets)
    if classes is None:
      raise ValueError(
        "first_set is 'balanced', which needs classes; the task is "
        f'{self._task.describe()}.'
      )
    seed = np.asarray(jax.random.key_data(key)).tolist()
    rng = np.random.default_rng(seed)
    num_classes = len(self._task.class_names)
    share, extra = divmod(k, num_classes)
    sizes = np.full(num_classes, share)
    sizes[rng.permutation(num_classes)[:extra]] += 1
    order = rng.permutation(len(classes))
    rank_and_index = []
    for label, size in enumerate(sizes):
      is_member = (classes == label) & ~self._unanswerable
      members = order[is_member[order]]
      if len(members) < size:
        raise ValueError(
          f'a balanced first set of {k} needs {size} examples of class '
          f'{label}; the pool has {len(members)}.'
        )
      rank_and_index += enumerate(members[:size])
    rank_and_index.sort(key=lambda pair: pair[0])
    return np.array([index for _, index in rank_and_index], np.int32)

  def share_right(self, labels: np.ndarray) -> float:
    """Returns the share of pseudo-labels that are right.

    Args:
      labels: int[N], class numbers; -1 for examples without a pseudo-label.

    Returns:
      A share from 0 to 1; NaN if there is no pseudo-label. It is for records
      only: no decision may depend on it.
    """
    labels = np.asarray(labels)
    given = labels >= 0
    if not np.any(given):
      return math.nan
    classes = self._task.strata(self._targets)
    right = (labels == classes) & ~self._unanswerable
    return float(np.mean(right[given]))


class MachineOracle:
  """Oracle that takes the model's predictions as answers after the first set.

  These answers cost nothing and are kept: the model trains on its own
  predictions.
  """

  reads_predictions = True

  def __init__(self, of_first_set: SimulatedOracle):
    """Makes an oracle that pays another one for the first set's answers."""
    self._of_first_set = of_first_set
    self.balanced_first_set = of_first_set.balanced_first_set
    self.share_right = of_first_set.share_right

  def check(self, facts: Facts) -> None:
    """Implements `interfaces.Oracle.check`."""
    tasks.need_classes(facts.task, "oracle.annotator 'machine'")
    self._of_first_set.check(facts)

  def ask(
    self, key: jax.Array, paid: int, question: Question
  ) -> tuple[int, Answers]:
    """Implements `interfaces.Oracle.ask`."""
    if question.predicted is None:
      return self._of_first_set.ask(key, paid, question)
    real = np.asarray(question.indices) >= 0
    annotator = np.where(real, pool_lib.MACHINE, pool_lib.NOBODY)
    return paid, Answers(question.predicted, annotator.astype(np.int8))


class ModelOracle:
  """Oracle that answers made examples by a classifier, if it is sure enough.

  It simulates a person who sees a picture and names its class, or says that it
  shows none, which is paid for but gives no label. The quality of the
  simulation depends on the classifier, which must not be trained on labels that
  the run pays for. Examples of the pool are answered from their targets.
  """

  def __init__(
    self,
    of_pool: SimulatedOracle,
    predict: Callable[[PyTree], np.ndarray],
    *,
    gate: float = 0.9,
  ):
    """Makes an oracle from a classifier.

    Args:
      of_pool: oracle for the examples of the pool.
      predict: `(inputs) -> float[K, C]`, probabilities from raw inputs.
      gate: lowest probability at which the likeliest class is answered.

    Raises:
      ValueError: `gate` is not between 0 and 1.
    """
    errors.check_number('gate', gate, least=0, most=1)
    self._of_pool = of_pool
    self._predict = predict
    self._gate = gate
    self.balanced_first_set = of_pool.balanced_first_set
    self.share_right = of_pool.share_right

  def check(self, facts: Facts) -> None:
    """Implements `interfaces.Oracle.check`."""
    self._of_pool.check(facts)

  def ask(
    self, key: jax.Array, paid: int, question: Question
  ) -> tuple[int, Answers]:
    """Implements `interfaces.Oracle.ask`."""
    indices = np.asarray(question.indices, np.int32)
    is_made = indices >= self._of_pool.num_examples
    of_pool = Question(np.where(is_made, -1, indices))
    paid, answers = self._of_pool.ask(key, paid, of_pool)
    if not np.any(is_made):
      return paid, answers
    made = jax.tree.map(lambda leaf: leaf[is_made], question.inputs)
    probs = np.asarray(self._predict(made))
    is_sure = probs.max(axis=1) >= self._gate
    targets, annotator = np.array(answers.targets), answers.annotator.copy()
    targets[is_made] = np.where(is_sure, probs.argmax(axis=1), 0)
    annotator[is_made] = np.where(is_sure, pool_lib.ORACLE, pool_lib.ABSTAINED)
    return paid + int(is_made.sum()), Answers(targets, annotator)


def _where_answered(answered, leaf):
  """Replaces the rows without an answer by zeros."""
  column = answered.reshape(-1, *[1] * (leaf.ndim - 1))
  return np.where(column, leaf, np.zeros_like(leaf))


def _drawn(task, noise, abstain, key, index, target):
  """Draws the answer to a query, and whether the oracle abstains instead."""
  lie_key, offset_key, silence_key = jax.random.split(
    jax.random.fold_in(key, index), 3
  )
  answer = task.perturb((lie_key, offset_key), target, noise)
  return answer, jax.random.bernoulli(silence_key, abstain)
