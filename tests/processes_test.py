"""Two processes on loopback make the picks of one, and go on from its saves."""

import socket

from tests import children

# Process 0 of a pair writes; both print the records they yield. An example is
# there thrice, so that nearly every batch has ties to break.
SCRIPT = """
import json, sys
import jax
devices, processes, own, port, folder, stop_after = sys.argv[1:]
jax.config.update('jax_num_cpu_devices', int(devices))
if int(processes) > 1:
  jax.distributed.initialize(
    f'127.0.0.1:{port}',
    num_processes=int(processes),
    process_id=int(own),
    shutdown_timeout_seconds=60,
  )
import contextlib, dataclasses
import numpy as np
from al_jax import loop, oracle
from al_jax.loop import program, protocol
from al_jax.storage import checkpoint
from tests.factories import a_system, a_task

dataset, facts = a_task(label_budget=60, size=200)
thrice = dataset.train.inputs.copy()
third = len(thrice) // 3
thrice[third : 2 * third] = thrice[2 * third : 3 * third] = thrice[:third]
dataset = dataclasses.replace(
  dataset, train=dataclasses.replace(dataset.train, inputs=thrice)
)
answers = oracle.SimulatedOracle(dataset.train.targets, dataset.task)
how = protocol.Protocol(rounds=3, labels_per_round=8, first_size=16)
found = {}
for name in ('margin', 'core_set'):
  compiled = program.compile_program(
    a_system(name, facts=facts),
    program.sources_of(dataset),
    dataset.train.ids,
    chunk_size=30,
  )
  with checkpoint.Checkpointer(f'{folder}/{name}') as saves:
    found[name] = rows = []
    under_way = loop.run_rounds(
      compiled,
      answers,
      how,
      [0],
      checkpointer=saves,
      should_stop=lambda rows=rows: len(rows) >= int(stop_after),
    )
    with contextlib.suppress(loop.Interrupted):
      for row in under_way:
        rows.append((row.picks, row.test['accuracy'], row.train['loss']))
print(json.dumps([jax.device_count(), found]))
"""


def run(folder, devices, processes, stop_after=3):
  """Returns what each process has found."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  found = children.printed(
    [
      children.begin(SCRIPT, devices, processes, own, port, folder, stop_after)
      for own in range(processes)
    ]
  )
  for number, _ in found:
    assert number == devices * processes
  return [of_process for _, of_process in found]


def test_a_run_goes_on_with_other_processes_and_devices(tmp_path):
  [alone] = run(tmp_path / 'alone', devices=1, processes=1)
  assert [len(rows) for rows in alone.values()] == [3, 3]
  folder = tmp_path / 'moving'
  begun = run(folder, devices=2, processes=2, stop_after=1)
  first = {name: rows[:1] for name, rows in alone.items()}
  assert begun == [first, first]
  second = {name: rows[:2] for name, rows in alone.items()}
  assert run(folder, devices=1, processes=1, stop_after=2) == [second]
  # Rounds of before come from the checkpoint.
  assert run(folder, devices=1, processes=2) == [alone, alone]
