"""A run of parts that a user wrote, from memory: resumed, and told apart."""

import flax.linen as nn
import jax.numpy as jnp
import pytest
from flax import nnx

from al_jax import loop, strategies, systems
from al_jax.loop import program, protocol
from al_jax.storage import checkpoint, records
from tests.factories import a_task, stopped_at_every_save
from tests.loop.runs import an_oracle

PROTOCOL = protocol.Protocol(
  rounds=2, labels_per_round=10, first_size=20, save_every_steps=2
)


class Net(nnx.Module):
  """Layers in a list, BatchNorm and dropout: all that nnx keeps apart."""

  def __init__(self, size, outputs, *, rngs):
    self.layers = nnx.List([nnx.Linear(size, 8, rngs=rngs)])
    self.norm = nnx.BatchNorm(8, rngs=rngs)
    self.dropout = nnx.Dropout(0.2, rngs=rngs)
    self.head = nnx.Linear(8, outputs, rngs=rngs)

  def __call__(self, inputs):
    hidden = self.layers[0](inputs.reshape(len(inputs), -1))
    hidden = self.dropout(nnx.relu(self.norm(hidden)))
    return self.head(hidden), hidden


class Small(nn.Module):
  @nn.compact
  def __call__(self, inputs):
    return nn.Dense(10)(inputs.reshape(len(inputs), -1))


def squared(logits, targets):
  """The Brier score."""
  return jnp.sum((nn.softmax(logits) - nn.one_hot(targets, 10)) ** 2, axis=-1)


def halved(key, image):
  del key
  return image // 2


BRIDGED = nnx.bridge.ToLinen(Net, args=(64, 10))


@pytest.fixture(scope='module')
def task():
  return a_task(label_budget=40)


def compiled(task, model, *, loss=None, **options):
  dataset, facts = task
  system = systems.build(
    'mine',
    facts,
    model=model,
    learner={'stop': {'epochs': 4}, 'batch_size': 16, 'loss': loss, **options},
    strategy=strategies.margin,
  )
  return program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids
  )


def test_a_run_of_ones_own_parts_is_resumed_and_told_apart(task, tmp_path):
  built = compiled(task, BRIDGED, loss=squared, augment=[halved])
  whole = list(loop.run_rounds(built, an_oracle(task), PROTOCOL, [0]))
  found, stops = stopped_at_every_save(
    built, an_oracle(task), PROTOCOL, tmp_path / 'saves'
  )
  assert stops > 2
  assert [records.deterministic(row) for row in found] == [
    records.deterministic(row) for row in whole
  ]
  assert {row.system for row in whole} == {'mine'}
  # The Brier score is at most 2.
  assert 0 < whole[-1].train['loss'] < 2
  # It does learn.
  assert whole[-1].train['loss'] < whole[0].train['loss']

  others = {
    r'holds a different state': (Small(), squared, [halved]),
    r'own\.learner\.loss.*: .*squared': (BRIDGED, None, [halved]),
    r'own\.learner\.augment\.0': (BRIDGED, squared, []),
  }
  for message, (model, loss, augment) in others.items():
    other = compiled(task, model, loss=loss, augment=augment)
    with checkpoint.Checkpointer(tmp_path / 'saves') as saves:
      run = loop.run_rounds(
        other, an_oracle(task), PROTOCOL, [0], checkpointer=saves
      )
      with pytest.raises(ValueError, match=message):
        next(iter(run))
