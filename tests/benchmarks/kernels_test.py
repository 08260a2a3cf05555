"""Each row once, far too small to say how fast anything is."""

import jax
import numpy as np
import pytest

from al_jax import kernels
from experiments.benchmarks import plain, table
from experiments.benchmarks.kernels import (
  covering,
  graphs,
  networks,
  points,
  samples,
  scores,
  seeding,
  suite,
)
from experiments.benchmarks.timing import Machine

MACHINE = Machine(1e11, 1e10)


def assert_measured(rows):
  rows = list(rows)
  assert rows
  for row in rows:
    assert row.seconds > 0
    assert row.compiling > 0
    if row.against is None:
      assert row.note.endswith('is not installed')
    else:
      assert row.ratio > 0
    if row.which_is != 'matrix-multiply floor':
      assert row.bound > 0
    assert row.what in table.line(row)
    assert len(row.what) <= 48
    assert len(row.which_is) <= 26
  return rows


def test_seeding():
  rows = assert_measured(
    seeding.beside_all(
      MACHINE,
      num_classes=3,
      num_points=600,
      num_features=8,
      k=20,
      picks_per_pass=5,
      repeats=1,
    )
  )
  assert [row.at_most for row in rows[:3]] == [1.5, 0.1, 0.125]
  assert rows[0].bytes_at_most == 64e6


def test_seeding_of_few():
  assert_measured(
    seeding.of_few(MACHINE, num_points=300, num_features=8, k=10, repeats=1)
  )


def test_seeding_with_and_without_skipping():
  probs, embedding = seeding.gradients(500, 8, 3)
  factors = kernels.Factors(seeding.residuals_of(probs), embedding)
  rows = assert_measured(
    seeding.skipping(MACHINE, factors, 'random', k=20, repeats=1)
  )
  assert rows[0].at_most == 0.7


def test_covering_picks_what_a_pass_per_pick_does():
  rows = assert_measured(
    covering.random_points(
      MACHINE,
      num_points=400,
      num_features=8,
      num_labeled=20,
      k=30,
      picks_per_pass=21,
      repeats=1,
    )
  )
  assert rows[0].note.endswith('100% of 21 picks identical')


def test_covering_from_no_center_and_of_patches():
  sizes = dict(num_points=400, num_features=8, k=30)
  (row,) = assert_measured(
    covering.random_points(
      MACHINE, num_labeled=0, picks_per_pass=21, repeats=1, **sizes
    )
  )
  assert row.note.endswith('100% of 21 picks identical')
  assert_measured(
    covering.hybrid(
      MACHINE, num_labeled=20, num_references=30, picks=3, repeats=1, **sizes
    )
  )
  patches = np.random.default_rng(0).random((300, 5), np.float32)
  assert_measured(covering.memory_bank(MACHINE, patches, 30, picks_in_torch=3))


def test_clustering_and_distances():
  assert_measured(
    points.clustering(
      MACHINE, num_points=300, num_features=4, k=5, num_iters=2, repeats=1
    )
  )
  assert_measured(
    points.distances(
      MACHINE, num_points=50, num_others=20, num_features=4, repeats=1
    )
  )


def test_networks_on_mnist_pictures():
  key = jax.random.key(0)
  images = jax.random.normal(key, (3, 28, 28, 1))
  params = networks.lenet(key)
  features = networks.lenet_trunk(params, images)
  assert features.shape == (3, networks.NUM_FEATURES)
  assert networks.lenet_head(params, features, key).shape == (3, 10)
  small = networks.small_cnn(key)
  num_params = sum(leaf.size for leaf in jax.tree.leaves(small))
  assert 90_000 < num_params < 110_000


def test_bald_and_gradients():
  assert_measured(
    samples.bald(MACHINE, num_points=200, num_samples=3, repeats=1)
  )
  assert_measured(
    samples.bald_beside_baal(MACHINE, num_points=100, num_samples=3, repeats=1)
  )
  (row,) = assert_measured(
    samples.gradients(MACHINE, num_points=32, sketch_dim=16, repeats=1)
  )
  assert row.at_most == 2.0


def test_batch_bald():
  (row,) = assert_measured(
    samples.batch_bald(
      MACHINE,
      num_points=40,
      peer_points=20,
      num_networks=5,
      k=3,
      num_samples=100,
      repeats=1,
    )
  )
  assert row.at_most == 0.1


def test_graphs():
  vectors = graphs.clustered(500, 8, 2)
  assert_measured(graphs.neighbours(MACHINE, vectors, k=5, repeats=1))
  task = graphs.make_task(vectors, k=5, num_classes=2)
  rows = assert_measured(
    graphs.propagation(MACHINE, task, num_classes=2, repeats=1)
  )
  assert [row.at_most for row in rows] == [None, 1.0]
  (row,) = assert_measured(
    graphs.propagation_update(MACHINE, task, k=5, num_classes=2, repeats=1)
  )
  if row.against is not None:
    share = float(row.note.split()[2].rstrip('%,'))
    assert share > 99
  assert_measured(graphs.diffusion(MACHINE, task, k=2, repeats=1))
  assert_measured(
    graphs.densities(MACHINE, vectors, k=5, num_references=50, repeats=1)
  )


def test_scores_picks_and_streams():
  assert_measured(scores.of_one_prediction(MACHINE, num_points=50, repeats=1))
  assert_measured(
    scores.of_samples(MACHINE, num_samples=3, num_points=40, repeats=1)
  )
  assert_measured(scores.picks(MACHINE, num_points=500, k=5, repeats=1))
  assert_measured(scores.stream(MACHINE, length=300, repeats=1))


def test_plain_references_pick_what_the_kernels_do():
  vectors = graphs.clustered(300, 8, 2)
  task = graphs.make_task(vectors, k=5, num_classes=2)
  labeled = task.targets >= 0
  picks = kernels.diffusion_selection(jax.random.key(0), task.graph, labeled, 1)
  expected = plain.scipy_diffusion(*task.graph, labeled, 1)
  reach = plain.scipy_solve(
    plain.reciprocal_matrix(*task.graph), labeled[:, None].astype(np.float32)
  )
  assert reach[expected[0], 0] == pytest.approx(
    -float(picks.values[0]), abs=1e-5
  )
  matrix = plain.reciprocal_matrix(*task.graph)
  assert abs(matrix - matrix.T).max() < 1e-6
  uncertain = np.random.default_rng(0).random(300, np.float32)
  np.testing.assert_allclose(
    kernels.information_density(vectors, uncertain),
    plain.numpy_information_density(vectors, uncertain),
    rtol=1e-5,
  )
  np.testing.assert_array_equal(
    kernels.hybrid_informativeness(uncertain, vectors, 10).indices,
    plain.numpy_hybrid(uncertain, vectors, np.arange(300), 10),
  )
  factors = kernels.Factors(*map(jax.numpy.asarray, (vectors, vectors)))
  seeds, sq_dists = plain.one_seed_per_pass(jax.random.key(0), factors, 20)
  assert len(set(seeds.tolist())) == 20
  assert sq_dists[seeds].max() == 0
  assert len(set(plain.numpy_seeds(vectors, vectors, 20))) == 20


def test_labels_as_published_are_those_of_the_kernel_on_the_union_graph():
  vectors = graphs.clustered(300, 32, 2)
  task = graphs.make_task(vectors, k=5, num_classes=2)
  cosines = vectors @ vectors.T
  np.fill_diagonal(cosines, 2)  # The point itself comes first.
  neighbors = np.argsort(-cosines, axis=1)[:, :6]
  similarities = np.take_along_axis(cosines, neighbors, axis=1)
  labels, certainty = plain.published_labels(
    lambda: (similarities, neighbors), task.targets, 2
  )
  ours = kernels.label_propagation(
    task.graph, task.targets, 2, graph_kind='union'
  )
  np.testing.assert_array_equal(ours.pseudo_labels, labels)
  np.testing.assert_allclose(ours.certainty, certainty, atol=1e-3)


def test_mnist_that_is_missing_is_named(monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', '/nowhere')
  (row,) = suite._on_mnist(MACHINE)
  assert 'MNIST in TFDS_DATA_DIR' in row.note
  assert 'MNIST' in table.line(row)
