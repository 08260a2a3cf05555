"""Several processes of one run, of which the first writes.

All of them keep the same state: each computes what is not sharded itself.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils


def is_first() -> bool:
  """Whether this process writes what all of them would."""
  return jax.process_index() == 0


def are_several() -> bool:
  """Whether there are others."""
  return jax.process_count() > 1


def refuse_several(what: str) -> None:
  """Raises ValueError if there are others.

  Args:
    what: names, in a sentence, what one process can do alone.
  """
  if are_several():
    raise ValueError(
      f'{what} is for one process, and there are {jax.process_count()} '
      '(jax.distributed); call loop.run_rounds in each of them.'
    )


def wait_for_all(place: str) -> None:
  """Returns when every process has come to a place in the code."""
  if are_several():
    multihost_utils.sync_global_devices(place)


def of_first(number: int) -> int:
  """Returns the number that the first process gives.

  Args:
    number: of this process; only that of the first counts.
  """
  if not are_several():
    return number
  told = np.int32(number)
  return int(multihost_utils.broadcast_one_to_all(told))


def options() -> dict[str, object]:
  """Options of an Orbax manager that waits for no other process."""
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
    'create': False,  # Orbax refuses to where it waits for nobody
  }
