import jax
import jax.numpy as jnp
import numpy as np
import pytest

from al_jax import errors, kernels
from al_jax.learners import budget_annotation
from al_jax.learners.budget import Agreement
from al_jax.models import build
from tests.factories import a_task
from tests.learners.ceal_test import OPTIONS, growing, run

FEW = 3


def by_hand(rule, round, logits, agree, free):
  """The rule in plain words."""
  probs = np.exp(logits - logits.max(axis=1, keepdims=True))
  probs /= probs.sum(axis=1, keepdims=True)
  entropy = -np.sum(probs * np.log(np.maximum(probs, 1e-30)), axis=1)
  u = entropy / np.log(logits.shape[1])
  threshold = max(rule.threshold - rule.decay * (round - 1), 0)
  classes = logits.argmax(axis=1)
  sure = [
    row
    for row in np.argsort(u, kind='stable')
    if free[row] and agree[row] and u[row] < threshold
  ]
  if rule.most is not None:
    per_class = -(-rule.most // logits.shape[1])
    taken, counts = [], np.zeros(logits.shape[1], int)
    for row in sure:
      if counts[classes[row]] < per_class:
        counts[classes[row]] += 1
        taken.append(row)
    sure = taken[: rule.most]
  labels = np.full(len(logits), -1)
  labels[sure] = classes[sure]
  return labels


@pytest.mark.parametrize('most', [None, 1, 7, 10, 500, errors.MOST_COUNTED])
@pytest.mark.parametrize('round', [1, 4])
def test_the_rule_is_what_it_says(most, round):
  rng = np.random.default_rng(0)
  logits = rng.normal(scale=3, size=(200, FEW)).astype(np.float32)
  logits[:40, 0] += 9  # an easy class
  agree, free = rng.random(200) < 0.8, rng.random(200) < 0.9
  rule = Agreement(threshold=0.6, decay=0.05, most=most)
  found = jax.jit(rule.labels)(jnp.int32(round), (logits, agree), free)
  wanted = by_hand(rule, round, logits, agree, free)
  np.testing.assert_array_equal(found, wanted)
  assert np.any(wanted >= 0)


def test_the_threshold_falls_to_nothing():
  rule = Agreement(threshold=0.5, decay=0.1)
  logits = jnp.array([[50.0, 0.0], [0.0, 50.0]])
  free = jnp.ones(2, jnp.bool_)
  found = [
    rule.labels(jnp.int32(round), (logits, free), free).tolist()
    for round in (1, 6, 9)
  ]
  assert found == [[0, 1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize('view', ['flip', 'shift'])
def test_views_that_disagree_are_not_sure(view):
  # What is bright on the left is of class 0.
  images = np.zeros((3, 6, 6, 1), np.float32)
  images[0, :, 0], images[1, :, 5], images[2, 2:4, 2:4] = 1, 1, 1

  class Output:
    def __init__(self, predictions):
      self.predictions = predictions

  def apply(inputs, *, keys=None):
    left = inputs[:, :, :3].sum(axis=(1, 2, 3)) + 0.1
    right = inputs[:, :, 3:].sum(axis=(1, 2, 3))
    return Output(jnp.stack([left, right], axis=1))

  batch = type('Batch', (), {'inputs': jnp.asarray(images)})
  rule = Agreement(view=view)
  _, agree = rule.measure(jax.random.key(0), apply, batch)
  # Mirrored, the first two change sides; moved, the second leaves the image.
  assert agree.tolist() == (
    [False, False, True] if view == 'flip' else [True, False, False]
  )


def test_dropout_samples_vote():
  dataset, facts = a_task()
  model = build('mlp', facts, widths=(32,), dropout=0.4)
  numbers = []
  for votes in (0, 8):
    learner = budget_annotation(
      model, facts, threshold=1.0, decay=0.0, votes=votes, **OPTIONS
    )
    state = run(learner, facts, dataset, growing(dataset, 20, 20))[1]
    numbers.append(int(np.sum(np.asarray(state.labels) >= 0)))
  assert 0 < numbers[1] < numbers[0]


def test_a_round_trains_on_what_the_round_before_was_sure_of():
  dataset, facts = a_task()
  model = build('mlp', facts, widths=(32,))
  options = {'threshold': 0.9, 'decay': 0.0, 'most': 30}
  learner = budget_annotation(model, facts, **options, **OPTIONS)
  first, second = run(learner, facts, dataset, growing(dataset, 20, 30))
  assert np.all(np.asarray(first.labels) == -1)
  logits = learner.apply(first, jnp.asarray(dataset.train.inputs)).predictions
  wanted = by_hand(
    Agreement(**options),
    1,
    np.asarray(logits),
    np.ones(160, bool),
    np.arange(160) >= 30,
  )
  np.testing.assert_array_equal(second.labels, wanted)
  counts = np.bincount(wanted[wanted >= 0], minlength=logits.shape[1])
  assert counts.sum() > 5
  assert counts.max() <= -(-30 // logits.shape[1])


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    ({'threshold': 0}, 'threshold is 0'),
    ({'most': 0}, 'most is 0'),
    ({'most': errors.MOST_COUNTED + 1}, 'most is 2147483648; .* at most'),
    ({'view': 'mirror'}, "view 'mirror' is not known"),
    ({'view': 'flip'}, "which needs images; .* it must be 'none'"),
    ({'votes': -1}, 'votes is -1'),
    ({'decay': -1}, 'decay is -1'),
  ],
)
def test_what_the_rule_cannot_use_is_refused(options, said):
  facts = a_task()[1]._replace(example=jax.ShapeDtypeStruct((9,), jnp.float32))
  with pytest.raises(ValueError, match=said):
    budget_annotation(build('mlp', facts), facts, **options)


def test_entropies_are_shares_of_the_largest():
  rule = Agreement(threshold=0.999)
  logits = jnp.zeros((2, 4)).at[0, 0].set(1.0)
  free = jnp.ones(2, jnp.bool_)
  assert float(kernels.entropy(logits)[0]) > 1
  assert rule.labels(jnp.int32(1), (logits, free), free).tolist() == [0, -1]


def test_votes_without_dropout_are_refused():
  _, facts = a_task()
  with pytest.raises(ValueError, match='votes is 3, but the model has no drop'):
    budget_annotation(build('mlp', facts), facts, votes=3)
