"""Each measurement once, far too small to say how fast anything is."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip('torch', reason='needs the extra `benchmark`')

from experiments.benchmarks import (
  loss_prediction,
  steps,
  table,
  training,
  unlabelled,
)

SMALL_MLP = {'name': 'mlp', 'widths': (8,)}


@pytest.fixture(scope='module')
def dataset():
  digits = steps.enlarged_digits()
  few = digits.train.take(np.arange(120))
  return dataclasses.replace(digits, train=few)


def assert_measured(row):
  assert row.seconds > 0
  assert row.against > 0
  assert row.ratio > 0
  assert row.what in table.line(row)


def test_enlarged_digits_have_the_size_of_mnist(dataset):
  assert dataset.train.inputs.shape == (120, 28, 28, 1)
  assert dataset.train.inputs.dtype == np.uint8
  assert dataset.test.inputs.shape[1:] == (28, 28, 1)
  colour = steps.as_colour(dataset, 8)
  assert colour.train.inputs.shape == (8, 32, 32, 3)


def test_an_epoch_of_propagation_beside_a_supervised_one(dataset):
  row = unlabelled.epoch_beside_supervised(
    dataset,
    SMALL_MLP,
    num_examples=100,
    num_labels=20,
    batch_size=16,
    repeats=1,
  )
  assert_measured(row)
  # Of 80 half are drawn, 10 in a batch; 64 examples are as many steps.
  assert '4 steps of 16; the other has 4' in row.note


def test_a_module_beside_the_network_alone(dataset):
  row = loss_prediction.step_beside_supervised(
    dataset, SMALL_MLP, num_labels=32, batch_size=16, epochs=1, repeats=1
  )
  assert_measured(row)
  of_both, of_network = row.note.removesuffix(' parameters').split(' against ')
  assert int(of_both.replace(',', '')) > int(of_network.replace(',', ''))
  row = loss_prediction.look_beside_entropy(
    dataset, SMALL_MLP, num_examples=50, repeats=1
  )
  assert_measured(row)


def test_a_step_beside_pytorch(dataset):
  network = steps.MLP._replace(epochs=1)
  row = steps.step_beside_torch(
    dataset, network, num_labels=40, batch_size=16, repeats=1
  )
  assert_measured(row)
  assert row.compiling > 0
  assert row.at_most == 1.1


def test_the_round_in_pytorch_learns(dataset):
  spreads = []

  def in_torch():
    model = steps.MLP.in_torch()
    model.register_forward_hook(
      lambda module, given, out: spreads.append(float(out.detach().std()))
    )
    return model

  network = steps.MLP._replace(in_torch=in_torch, epochs=10)
  steps.torch_round(dataset, network, num_labels=40, batch_size=16)()
  assert len(spreads) == 10 * 3
  assert spreads[-1] > 2 * spreads[0]  # logits grow as it gets sure


def test_a_call_beside_a_loop(dataset):
  row = steps.call_beside_loop(
    dataset, SMALL_MLP, batch_size=8, num_steps=2, repeats=1
  )
  assert_measured(row)
  assert 'fit uses the loop' in row.what
  assert row.at_most is None


def test_rounds_of_a_growing_set_compiled_once_and_each_time(dataset):
  for recompile in (False, True):
    seconds = training.growing_rounds(
      dataset, recompile=recompile, sizes=[10, 20], epochs=1
    )
    assert seconds > 0


def test_rounds_of_a_growing_set_in_new_processes():
  row = training.growing_beside_recompiling(repeats=1, sizes=(10,))
  assert_measured(row)


def test_what_a_round_spends_beside_training(dataset, tmp_path):
  row = training.overhead(dataset, tmp_path, rounds=2, labels_per_round=10)
  assert_measured(row)
  assert row.seconds < row.against
  assert (tmp_path / 'records.jsonl').exists()


def test_a_whole_run():
  row = training.whole_run(
    '--config.protocol.rounds=2',
    '--config.seeds=2',
    config='configs/quickstart.py',
  )
  assert_measured(row)
  assert '4 rounds, 2 seeds' in row.what
  assert row.what.endswith('+ 0')  # a second seed compiles nothing
