"""Several processes of one run, of which only the first writes files.

All processes hold the same state: each computes everything that is not sharded.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils


def is_first() -> bool:
  """Returns whether this process is the one that writes files."""
  return jax.process_index() == 0


def are_several() -> bool:
  """Returns whether the run has several processes."""
  return jax.process_count() > 1


def refuse_several(what: str) -> None:
  """Raises ValueError if the run has several processes.

  Args:
    what: name of the feature that needs a single process, to begin a sentence.
  """
  if are_several():
    raise ValueError(
      f'{what} needs a single process, but there are {jax.process_count()} '
      '(jax.distributed); call loop.run_rounds in each of them.'
    )


def wait_for_all(place: str) -> None:
  """Blocks until every process has reached a named place in the code."""
  if are_several():
    multihost_utils.sync_global_devices(place)


def of_first(number: int) -> int:
  """Broadcasts a number from the first process to all.

  Args:
    number: number to broadcast; ignored except in the first process.
  """
  if not are_several():
    return number
  told = np.int32(number)
  return int(multihost_utils.broadcast_one_to_all(told))


def options() -> dict[str, object]:
  """Returns options for an Orbax manager that waits for no other process."""
  if not are_several():
    return {}
  own = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=own,
    active_processes={own},
    barrier_sync_key_prefix=f'process_{own}',
  )
  return {
    'multiprocessing_options': alone,
    'read_only': not is_first(),
    # Orbax cannot create the folder if it waits for no other process.
    'create': False,
  }
