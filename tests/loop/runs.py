"""Small runs of a system, for the tests of the loop."""

import dataclasses

from al_jax import loop, oracle
from al_jax.loop import program
from al_jax.loop.protocol import Protocol
from tests.factories import a_system

PROTOCOL = Protocol(
  rounds=4, labels_per_round=10, first_size=20, save_every_steps=7
)


def compiled(
  task, name, *, num_lanes=1, strategy=None, chunk_size=100, **options
):
  dataset, facts = task
  system = a_system(name, facts=facts, **options)
  if strategy is not None:
    system = dataclasses.replace(system, strategy=strategy)
  return program.compile_program(
    system,
    program.sources_of(dataset),
    dataset.train.ids,
    num_lanes=num_lanes,
    chunk_size=chunk_size,
  )


def an_oracle(task, **options):
  dataset, _ = task
  return oracle.SimulatedOracle(dataset.train.targets, dataset.task, **options)


def run(task, compiled_program, protocol=PROTOCOL, seeds=(0,), **options):
  """The records, and why the runs ended."""
  answers = options.pop('answers', None) or an_oracle(task)
  return drained(
    loop.run_rounds(compiled_program, answers, protocol, seeds, **options)
  )


def drained(generator):
  """What a generator yields, and what it returns."""
  found = []
  while True:
    try:
      found.append(next(generator))
    except StopIteration as end:
      return found, end.value
