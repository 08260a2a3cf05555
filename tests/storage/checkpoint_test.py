"""Steps are saved, damaged, killed and restored; for real, on disk."""

import functools
import json
import logging
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging as absl_logging

from al_jax.storage import _layout, checkpoint

ENDLESS = """
import itertools, sys
import numpy as np
from al_jax.storage import checkpoint
with checkpoint.Checkpointer(sys.argv[1]) as checkpointer:
  for step in itertools.count(1):
    checkpointer.save(step, {'x': np.full(1000, step)}, {'step': step})
"""


class Pair(NamedTuple):
  weights: jax.Array
  key: jax.Array


@flax.struct.dataclass
class State:
  pair: Pair
  empty: jax.Array
  step: int
  picks: np.ndarray


def state_of(step):
  return State(
    pair=Pair(jnp.arange(100.0) + step, jax.random.key(step)),
    empty=jnp.zeros((0, 2)),
    step=step,
    picks=np.arange(step, step + 5),
  )


TEMPLATE = jax.eval_shape(lambda: state_of(1))


def save_steps(folder, *steps):
  with checkpoint.Checkpointer(folder) as checkpointer:
    for step in steps:
      checkpointer.save(step, state_of(step), {'accuracy': [0.1 * step]})


def restore(folder, template=TEMPLATE):
  with checkpoint.Checkpointer(folder) as checkpointer:
    return checkpointer.restore(template)


def assert_is_step(found, step):
  number, state, metadata = found
  expected = state_of(step)
  assert (number, state.step) == (step, step)
  assert metadata == {'accuracy': [0.1 * step]}
  assert isinstance(state, State)
  np.testing.assert_array_equal(state.pair.weights, expected.pair.weights)
  assert state.pair.key == expected.pair.key
  assert state.empty.shape == (0, 2)
  np.testing.assert_array_equal(state.picks, expected.picks, strict=True)


def files_of(step_folder):
  return sorted(path for path in step_folder.rglob('*') if path.is_file())


def spoil(folder, step):
  """Halves every file of a step."""
  for path in files_of(folder / str(step)):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def messages():
  """What is logged through absl, from INFO."""
  found = []
  handler = logging.Handler()
  handler.emit = lambda record: found.append(record.getMessage())
  logger, level = absl_logging.get_absl_logger(), absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.INFO)
  logger.addHandler(handler)
  yield found
  logger.removeHandler(handler)
  absl_logging.set_verbosity(level)


@pytest.fixture(scope='module')
def two_steps(tmp_path_factory):
  folder = tmp_path_factory.mktemp('two_steps')
  save_steps(folder, 1, 2)
  return folder


def test_the_newest_of_the_last_steps_comes_back(tmp_path):
  assert restore(tmp_path) is None
  save_steps(tmp_path, *range(1, 7))
  assert_is_step(restore(tmp_path), 6)
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {'4', '5', '6'}


def test_a_state_without_elements_is_saved_too(tmp_path):
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(1, {'x': jnp.zeros(0)}, {'nan': float('nan')})
    _, state, metadata = checkpointer.restore({'x': jnp.zeros(0)})
  assert state['x'].shape == (0,)
  assert np.isnan(metadata['nan'])


def test_what_the_caller_changes_after_saving_is_not_saved(tmp_path):
  array, metadata = np.zeros(100_000), {'rows': []}
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(1, [array], metadata)
    array[:] = 1
    metadata['rows'].append(1)
    _, [found], rows = checkpointer.restore([array])
  assert not found.any()
  assert rows == {'rows': []}


def test_saving_waits_neither_for_the_device_nor_for_the_disk(
  tmp_path, monkeypatch
):
  go_on = threading.Event()
  write = checkpoint.Checkpointer._write

  def held_back(self, job):
    go_on.wait()
    write(self, job)

  monkeypatch.setattr(checkpoint.Checkpointer, '_write', held_back)
  array = jnp.arange(100.0)
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(1, [array], {})  # returns though nothing is done
    assert not list(tmp_path.iterdir())
    go_on.set()
    _, [found], _ = checkpointer.restore([array])
  np.testing.assert_array_equal(found, array)


def flip_a_bit(data, seed):
  flipped = bytearray(data)
  draw = random.Random(seed)
  flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
  return bytes(flipped)


# Orbax's event loop is gone when TensorStore tells it of the damage.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize(
  'damage',
  [
    lambda data: None,
    lambda data: b'',
    lambda data: data[: len(data) // 2],
    *[functools.partial(flip_a_bit, seed=seed) for seed in range(4)],
  ],
  ids=['deleted', 'empty', 'half', *[f'flip {seed}' for seed in range(4)]],
)
def test_damage_to_any_file_never_gives_wrong_values(
  two_steps, tmp_path, damage
):
  folder = tmp_path / 'run'
  shutil.copytree(two_steps, folder)
  fell_back = 0
  for path in files_of(folder / '2'):
    data = path.read_bytes()
    damaged = damage(data)
    path.unlink() if damaged is None else path.write_bytes(damaged)
    found = restore(folder)
    assert found[0] in (1, 2)
    assert_is_step(found, found[0])
    fell_back += found[0] == 1
    path.write_bytes(data)
  assert fell_back
  assert_is_step(restore(folder), 2)


def test_a_missing_half_of_a_step_falls_back_with_a_warning(
  two_steps, tmp_path, messages
):
  folder = tmp_path / 'run'
  shutil.copytree(two_steps, folder)
  shutil.rmtree(folder / '2' / 'state')
  assert_is_step(restore(folder), 1)
  (warning,) = messages
  assert f'step 2 in {folder} cannot be read' in warning


def test_metadata_that_are_still_json_but_changed_are_noticed(
  two_steps, tmp_path
):
  folder = tmp_path / 'run'
  shutil.copytree(two_steps, folder)
  path = folder / '2' / 'metadata' / 'metadata'
  sealed = json.loads(path.read_text())
  sealed['contents']['metadata']['accuracy'] = [0.3]
  path.write_text(json.dumps(sealed))
  assert_is_step(restore(folder), 1)


def test_going_on_after_a_fallback_replaces_the_damaged_steps(
  tmp_path, messages
):
  save_steps(tmp_path, 1, 2, 3)
  spoil(tmp_path, 2)
  spoil(tmp_path, 3)
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert_is_step(checkpointer.restore(TEMPLATE), 1)
    warned = [text for text in messages if 'trying the one before' in text]
    assert len(warned) == 2
    messages.clear()
    checkpointer.save(2, state_of(2), {'accuracy': [0.2]})
  assert_is_step(restore(tmp_path), 2)
  assert {path.name for path in tmp_path.iterdir()} == {'1', '2'}
  assert messages == []


def test_an_error_lists_what_was_tried_where_nothing_is_sound(tmp_path):
  save_steps(tmp_path, 1, 2)
  spoil(tmp_path, 1)
  spoil(tmp_path, 2)
  with pytest.raises(checkpoint.CheckpointError) as caught:
    restore(tmp_path)
  assert str(tmp_path) in str(caught.value)
  assert 'step 2: ' in str(caught.value)
  assert 'step 1: ' in str(caught.value)


def test_a_template_of_another_state_is_no_damage(two_steps):
  template = TEMPLATE.replace(empty=jnp.zeros((1, 2)))
  with pytest.raises(
    _layout.TemplateError, match=r'state.empty is float32\[0, 2\]'
  ):
    restore(two_steps, template)


def test_a_killed_process_leaves_whole_steps_and_no_orphans(tmp_path):
  draw = random.Random(0)
  folders = [tmp_path / str(number) for number in range(3)]
  processes = [
    subprocess.Popen([sys.executable, '-c', ENDLESS, folder])
    for folder in folders
  ]
  for folder, process in zip(folders, processes, strict=True):
    while not any(path.name.isdigit() for path in folder.glob('*')):
      assert process.poll() is None
      time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.2))
    process.kill()
    assert process.wait() == -signal.SIGKILL
  for folder in folders:
    with checkpoint.Checkpointer(folder) as checkpointer:
      step, state, metadata = checkpointer.restore({'x': np.zeros(1000, int)})
      assert metadata == {'step': step}
      np.testing.assert_array_equal(state['x'], step)
      checkpointer.save(step + 1, state, {})
    steps = sorted(int(path.name) for path in folder.iterdir())
    assert len(steps) <= checkpoint.STEPS_KEPT
    assert steps[-1] == step + 1


def test_leftovers_and_surplus_steps_go_on_opening(tmp_path):
  save_steps(tmp_path, 1, 2, 3)
  shutil.copytree(tmp_path / '3', tmp_path / '4')
  (tmp_path / '5.orbax-checkpoint-tmp' / 'state').mkdir(parents=True)
  (tmp_path / '53.orbax-checkpoint-tmp').touch()
  checkpoint.Checkpointer(tmp_path).close()
  assert {path.name for path in tmp_path.iterdir()} == {'2', '3', '4'}


def test_the_newest_metadata_are_read_without_the_state(tmp_path):
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.latest_metadata() is None
    checkpointer.save(1, state_of(1), {'round': 1})
    checkpointer.save(2, state_of(2), {'round': 2})
    assert checkpointer.latest_metadata() == {'round': 2}
  shutil.rmtree(tmp_path / '2' / 'metadata')
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.latest_metadata() is None


LIMITED = """
import resource, signal, sys
import numpy as np
from al_jax.storage import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rng = np.random.default_rng(0)
state = {str(i): rng.integers(0, 255, 20000, np.uint8) for i in range(20)}
with checkpoint.Checkpointer(sys.argv[1]) as checkpointer:
  resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))
  checkpointer.save(1, state, {})
  try:
    checkpointer.wait()
  except checkpoint.CheckpointError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_is_said_in_one_line(tmp_path):
  finished = subprocess.run(
    [sys.executable, '-c', LIMITED, tmp_path],
    capture_output=True,
    text=True,
    timeout=600,
    check=False,
  )
  assert finished.returncode == 0
  assert finished.stdout == (
    f'Step 1 could not be saved in {tmp_path}: File too large.\n'
  )
  assert finished.stderr == ''


@pytest.fixture
def small_disk(tmp_path):
  mounted = subprocess.run(
    ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', tmp_path],
    stderr=subprocess.PIPE,
    text=True,
    check=False,
  )
  if mounted.returncode:
    pytest.skip(f'no small disk can be mounted: {mounted.stderr}')
  yield tmp_path
  subprocess.run(['umount', tmp_path], check=True)


def test_a_full_disk_is_named_and_costs_no_earlier_step(small_disk, messages):
  folder = small_disk / 'run'
  large = np.random.default_rng(0).random(1_000_000)
  with checkpoint.Checkpointer(folder) as checkpointer:
    checkpointer.save(1, state_of(1), {'accuracy': [0.1]})
    checkpointer.save(2, [large], {})
    with pytest.raises(
      checkpoint.CheckpointError,
      match=f'Step 2 could not be saved in {folder}: No space left on device',
    ):
      checkpointer.wait()
    assert_is_step(checkpointer.restore(TEMPLATE), 1)
    checkpointer.save(2, state_of(2), {'accuracy': [0.2]})
  assert_is_step(restore(folder), 2)
  assert {path.name for path in folder.iterdir()} == {'1', '2'}
  assert messages == []


@pytest.mark.parametrize('call', ['save', 'wait', 'restore', 'close'])
def test_a_failed_save_is_raised_by_the_next_call(tmp_path, call):
  folder = tmp_path / 'run'
  checkpointer = checkpoint.Checkpointer(folder)
  shutil.rmtree(folder)
  folder.touch()
  checkpointer.save(1, state_of(1), {})
  arguments = {'save': (2, state_of(2), {}), 'restore': (TEMPLATE,)}
  if call == 'save':
    while checkpointer._background._error is None:
      time.sleep(0.01)
  with pytest.raises(
    checkpoint.CheckpointError, match=f'Step 1 could not be saved in {folder}'
  ):
    getattr(checkpointer, call)(*arguments.get(call, ()))
  checkpointer.close()


def test_a_failed_save_does_not_hide_what_went_wrong_first(tmp_path, messages):
  folder = tmp_path / 'run'
  with (
    pytest.raises(ZeroDivisionError),
    checkpoint.Checkpointer(folder) as checkpointer,
  ):
    shutil.rmtree(folder)
    folder.touch()
    checkpointer.save(1, state_of(1), {})
    raise ZeroDivisionError
  assert any('Step 1 could not be saved' in message for message in messages)


@pytest.mark.parametrize('below', ['file', 'file/run', '/proc/al_jax'])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, below):
  if below.startswith('/proc') and not pathlib.Path('/proc').is_dir():
    pytest.skip('there is no /proc here')
  (tmp_path / 'file').touch()
  path = tmp_path / below
  with pytest.raises(checkpoint.CheckpointError, match=f'kept in {path}: '):
    checkpoint.Checkpointer(path)


def test_what_cannot_be_saved_is_refused_at_once(tmp_path):
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    with pytest.raises(TypeError, match=r"state\['name'\] is a str"):
      checkpointer.save(1, {'name': 'margin'}, {})
    with pytest.raises(TypeError, match='metadata must be JSON'):
      checkpointer.save(1, {}, {'x': np.zeros(2)})
    checkpointer.save(1, {}, {})
    with pytest.raises(ValueError, match='step 1 does not come after step 1'):
      checkpointer.save(1, {}, {})


def test_orbax_is_quiet_and_others_are_heard(tmp_path, messages):
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(1, state_of(1), {})
    checkpointer.wait()
    absl_logging.info('an epoch')
    checkpointer.restore(TEMPLATE)
  assert messages == ['an epoch']
