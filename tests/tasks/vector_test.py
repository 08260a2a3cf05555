import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from al_jax import tasks

SCALE = 50.0


@pytest.fixture
def targets(rng):
  return rng.normal(100, 30, size=(40, 3)).astype(np.float32)


@pytest.fixture
def predicted(rng, targets):
  return (targets + rng.normal(0, 10, targets.shape)).astype(np.float32)


def metrics_of(task, predicted, targets):
  """Metrics of values in the units of the targets."""
  measured = task.measure(jnp.asarray(predicted / task.scale), targets)
  metrics, by_class = task.summarise(measured, targets)
  assert by_class.shape == (0,)
  assert set(metrics) == {metric.name for metric in task.metrics}
  assert task.headline in task.metrics
  return metrics


def test_metrics_equal_scikit_learns_in_units_of_scale(predicted, targets):
  found = metrics_of(tasks.Vector(3, SCALE), predicted, targets)
  squared = sklearn.metrics.mean_squared_error(targets, predicted)
  np.testing.assert_allclose(found['rmse'], squared**0.5 / SCALE, rtol=1e-4)
  absolute = sklearn.metrics.mean_absolute_error(targets, predicted)
  np.testing.assert_allclose(found['mae'], absolute / SCALE, rtol=1e-4)
  r2 = sklearn.metrics.r2_score(
    targets, predicted, multioutput='variance_weighted'
  )
  np.testing.assert_allclose(found['r2'], r2, rtol=1e-4)


def test_losses_are_mean_squared_errors_of_what_decide_gives(
  predicted, targets
):
  task = tasks.Vector(3, SCALE)
  losses = task.losses(predicted / SCALE, targets)
  decided = task.decide(predicted / SCALE)
  wanted = np.mean(((decided - targets) / SCALE) ** 2, axis=1)
  np.testing.assert_allclose(losses, wanted, rtol=1e-4)


def test_marks_are_in_widths_of_the_picture():
  points = tasks.Keypoints(2, scale=100)
  first, second = points.marks(np.array([10, 20, 50, 60], np.float32))
  np.testing.assert_allclose(first, [[0.1, 0.2]], rtol=1e-6)
  np.testing.assert_allclose(second, [[0.5, 0.6]], rtol=1e-6)
  box = tasks.Box(scale=10)
  corners = [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4], [0.1, 0.4], [0.1, 0.2]]
  (line,) = box.marks(np.array([1, 2, 3, 4], np.float32))
  np.testing.assert_allclose(line, corners, rtol=1e-6)
  assert tasks.Vector(4, scale=10).marks(np.zeros(4, np.float32)) == []
  mixed = tasks.Mixed({'kind': tasks.numbered(2), 'at': box, 'on': points})
  target = {'kind': 1, 'at': np.zeros(4), 'on': np.zeros(4)}
  assert [len(line) for line in mixed.marks(target)] == [5, 1, 1]


def test_points_are_found_within_the_tolerance():
  task = tasks.Keypoints(2, scale=100, tolerance=0.1)
  targets = np.array([[10, 10, 50, 50]], np.float32)
  predicted = np.array([[16, 18, 50, 61]], np.float32)  # 10 and 11 away
  found = metrics_of(task, predicted, targets)
  assert task.headline.name == 'pck_0.1'
  assert found['pck_0.1'] == 0.5


def reference_overlap(a, b):
  width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
  height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
  area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
  return width * height / (area_a + area_b - width * height)


def test_boxes_are_measured_by_their_overlap(rng):
  corners = rng.uniform(0, 64, size=(2, 30, 2, 2))
  boxes = np.sort(corners, axis=2).reshape(2, 30, 4).astype(np.float32)
  found = metrics_of(tasks.Box(scale=64), *boxes)
  wanted = [reference_overlap(a, b) for a, b in zip(*boxes, strict=True)]
  np.testing.assert_allclose(found['iou'], np.mean(wanted), rtol=1e-4)
  assert found['iou_above_0.5'] == np.mean(np.array(wanted) > 0.5)
  exact = metrics_of(tasks.Box(scale=64), boxes[0], boxes[0])
  np.testing.assert_allclose(exact['iou'], 1, rtol=1e-5)


def test_empty_boxes_overlap_nothing_and_no_gradient_breaks():
  task = tasks.Box(scale=1)
  empty = jnp.zeros((1, 4))
  inside_out = jnp.array([[3.0, 3.0, 1.0, 1.0]])
  for predicted in (empty, inside_out):
    assert metrics_of(task, predicted, empty)['iou'] == 0
  gradient = jax.grad(lambda p: task.losses(p, empty).sum())(inside_out)
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
  ('task', 'targets', 'message'),
  [
    (tasks.Vector(2), np.zeros((3, 2)), r'float32 of shape \[N, 2\], not'),
    (tasks.Vector(2), np.zeros(3, np.float32), r'of shape \[3\]'),
    (tasks.Vector(2), np.zeros((3, 1), np.float32), '1 numbers per example'),
    (
      tasks.Vector(1),
      np.array([[0], [np.nan]], np.float32),
      r'\[nan\] at index 1 \(id b\)',
    ),
    (
      tasks.Box(scale=8),
      np.array([[0, 0, 1, 1], [4, 0, 1, 1]], np.float32),
      r'index 1 \(id b\) must be left',
    ),
  ],
)
def test_targets_that_do_not_fit_are_refused(task, targets, message):
  with pytest.raises(ValueError, match=message):
    task.check(targets, 'here', np.array(['a', 'b', 'c']))


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: tasks.Vector(0), 'size is 0'),
    (lambda: tasks.Vector(1, 0.0), 'scale is 0'),
    (lambda: tasks.Keypoints(1, 1.0, -1), 'tolerance is -1'),
    (lambda: tasks.Box(3), 'size is 3; a box has 4'),
  ],
)
def test_options_out_of_range_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_a_noisy_answer_is_off_by_its_scale():
  task = tasks.Vector(1, SCALE)
  keys = jax.random.split(jax.random.key(0), 2_000)
  answers = jax.vmap(lambda key: task.perturb((key, key), jnp.zeros(1), 0.1))(
    keys
  )
  np.testing.assert_allclose(np.std(answers), 0.1 * SCALE, rtol=0.05)


def test_a_noisy_box_is_a_box():
  task = tasks.Box(scale=8)
  keys = jax.random.split(jax.random.key(0), 50)
  noisy = jax.vmap(
    lambda key: task.perturb((key, key), jnp.array([1.0, 1, 2, 2]), 0.9)
  )(keys)
  task.check(np.asarray(noisy), 'here', None)


@pytest.mark.parametrize('value', [2.0, 0.1, 1e6])
def test_targets_without_spread_have_no_r2(value):
  targets = np.full((7, 1), value, np.float32)
  assert np.isnan(metrics_of(tasks.Vector(1, 10.0), targets + 1, targets)['r2'])


@pytest.mark.parametrize('scale', [1e-25, 1e20])
def test_boxes_of_any_unit_overlap_alike(scale):
  box = np.float32(scale) * np.array([[0.1, 0.1, 0.5, 0.5]], np.float32)
  found = metrics_of(tasks.Box(scale=scale), box, box)
  np.testing.assert_allclose(found['iou'], 1, rtol=1e-5)
