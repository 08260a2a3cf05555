"""Runs that move between processes and devices, by way of their checkpoints.

A team is one process, or two of `jax.distributed` on loopback. Its start and
its compilations take long, so it serves one part of a run after another.
"""

import dataclasses
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import pathlib
import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import loop, oracle, placement
from al_jax.loop import program, protocol
from al_jax.storage import checkpoint
from tests.factories import a_system, a_task

# How a part ends: its run is over, the run is asked to stop, an exception ends
# it, or SIGKILL ends a process of the team.
OVER, STOPPED, RAISED, KILLED = 'over', 'stopped', 'raised', 'killed'
# Or a process fails by itself. On a busy machine this happens: processes that
# connect to each other give up after 30 seconds.
FAILED = 'failed'
_DUE = 'due'  # Sent at the step at which a process is to be killed.

_PROTOCOL = protocol.Protocol(
  rounds=3, labels_per_round=8, first_size=16, save_every_steps=5
)
# A process that serves more compiles more than it may map into its memory.
_PARTS_EACH = 60
_SECONDS_TO_ANSWER = 1200
# How long the other process of a team may outlive one that was killed.
_SECONDS_TO_END = 10


class Part(NamedTuple):
  """A part of a run.

  Attributes:
    system: its name.
    copies: number of times each input is in the pool; batches have ties.
    seed: of the run.
    folder: of the checkpoints that it goes on from and writes; None to keep
      nothing.
    chunk_size: rows that a device looks at together.
    where: place of the inputs, see `program.sources_of`.
    devices: number of devices that each process uses; None for all, as a run
      outside tests does.
    end: OVER, STOPPED, RAISED or KILLED.
    after: number of times that the run asks whether to stop, before it ends.
    victim: index of the process that is killed.
    delay: seconds until the kill.
  """

  system: str
  copies: int
  seed: int
  folder: pathlib.Path | None = None
  chunk_size: int = 64
  where: str = 'device'
  devices: int | None = None
  end: str = OVER
  after: int = 0
  victim: int = 0
  delay: float = 0.0


class Team:
  """Processes that run parts together; a context manager."""

  def __init__(self, processes: int, devices: int, cache: pathlib.Path | str):
    """Starts nothing yet.

    Args:
      processes: one or two.
      devices: number of virtual devices of each process.
      cache: folder of compiled programs; teams may share it.
    """
    self._processes, self._devices, self._cache = processes, devices, cache
    self._members, self._connections, self._served = [], [], 0

  def run(self, part: Part) -> tuple[str, Sequence[Any]]:
    """Runs a part; starts the processes if there are none.

    Returns:
      How it ended, and its rounds until then: picks, test accuracy and loss of
      each. If it was killed or failed, there are no rounds.
    """
    if self._served == _PARTS_EACH:
      self._end()
    if not self._members:
      self._start()
    self._served += 1
    answers = []
    try:
      for connection in self._connections:
        connection.send(part)
      for own in sorted(range(self._processes), key=part.victim.__ne__):
        answers.append(self._answer(own))
        if answers == [_DUE]:
          time.sleep(part.delay)
          self._kill(part.victim)
          return KILLED, []
    except (ChildProcessError, EOFError, ConnectionError):
      self._end()
      return FAILED, []
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]

  def __enter__(self) -> 'Team':
    return self

  def __exit__(self, *error) -> None:
    self._end()

  def _start(self):
    with socket.socket() as free:
      free.bind(('127.0.0.1', 0))
      address = f'127.0.0.1:{free.getsockname()[1]}'
    context = multiprocessing.get_context('spawn')
    shape = self._processes, self._devices
    for own in range(self._processes):
      ours, theirs = context.Pipe()
      member = context.Process(
        target=_serve, args=(theirs, address, own, *shape, self._cache)
      )
      member.start()
      theirs.close()  # Or a process that ends would not be noticed.
      self._members.append(member)
      self._connections.append(ours)

  def _answer(self, own):
    """Returns what a process sends; ChildProcessError if one has died."""
    for _ in range(_SECONDS_TO_ANSWER):
      if self._connections[own].poll(1):
        return self._connections[own].recv()
      if not all(member.is_alive() for member in self._members):
        raise ChildProcessError
    raise TimeoutError(f'process {own} has not answered')

  def _kill(self, victim):
    """Kills one process; the other fails or hangs, and is killed later."""
    self._members[victim].kill()
    others = {member.sentinel for member in self._members}
    others.remove(self._members[victim].sentinel)
    deadline = time.monotonic() + _SECONDS_TO_END
    while others and (left := deadline - time.monotonic()) > 0:
      others -= set(multiprocessing.connection.wait(others, left))
    self._end()

  def _end(self):
    for member, connection in zip(
      self._members, self._connections, strict=True
    ):
      member.kill()
      member.join()
      connection.close()
    self._members, self._connections, self._served = [], [], 0


class _RaisedError(Exception):
  """Ends a part without another save."""


def _serve(connection, address, own, processes, devices, cache):
  """Runs parts as one of a team, until it is killed."""
  jax.config.update('jax_num_cpu_devices', devices)
  jax.config.update('jax_compilation_cache_dir', str(cache))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  if processes > 1:
    jax.distributed.initialize(address, processes, own)
  assert jax.device_count() == processes * devices
  while True:
    part = connection.recv()
    connection.send(_run(part, functools.partial(connection.send, _DUE)))


def _run(part, due):
  """Runs a part in this process; `due` is called where it is to be killed."""
  asked = itertools.count(1)

  def should_stop():
    is_time = next(asked) == part.after
    if is_time and part.end == RAISED:
      raise _RaisedError
    if is_time and part.end == KILLED:
      due()
    return is_time and part.end == STOPPED

  placement.current = (
    _all_devices if part.devices is None else _first(part.devices)
  )
  compiled = _compiled(
    part.system, part.copies, part.chunk_size, part.where, part.devices
  )
  folder, found = part.folder, []
  try:
    with checkpoint.Checkpointer(folder) if folder else nullcontext() as saves:
      for row in loop.run_rounds(
        compiled,
        _oracle(),
        _PROTOCOL,
        [part.seed],
        checkpointer=saves,
        should_stop=should_stop,
      ):
        found.append((row.picks, row.test['accuracy'], row.train['loss']))
  except loop.Interrupted:
    return STOPPED, found
  except _RaisedError:
    return RAISED, found
  return OVER, found


_task = functools.cache(functools.partial(a_task, label_budget=60, size=200))
_all_devices = placement.current


def _oracle():
  dataset, _ = _task()
  return oracle.SimulatedOracle(dataset.train.targets, dataset.task)


@functools.cache
def _tied(copies):
  """Returns the data set with each input several times in the pool."""
  dataset, _ = _task()
  size = len(dataset.train)
  few = dataset.train.inputs[: -(-size // copies)]
  inputs = np.concatenate([few] * copies)[:size]
  train = dataclasses.replace(dataset.train, inputs=inputs)
  return dataclasses.replace(dataset, train=train)


@functools.cache
def _compiled(name, copies, chunk_size, where, devices):
  del devices  # They are those of the placement.
  dataset, facts = _tied(copies), _task()[1]
  options = {'strategy': {'num_samples': 4}} if name == 'bald' else {}
  return program.compile_program(
    a_system(name, facts=facts, dropout=0.2, **options),
    program.sources_of(dataset, where),
    dataset.train.ids,
    chunk_size=chunk_size,
  )


def _first(devices):
  """Makes a `placement.current` of the first devices of each process."""
  chosen = [
    device
    for process in range(jax.process_count())
    for device in jax.local_devices(process)[:devices]
  ]
  mesh = jax.sharding.Mesh(np.array(chosen), (placement.AXIS,))
  return lambda: placement.Placement(mesh)
