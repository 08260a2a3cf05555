"""Two processes on loopback make the picks of one, and go on from its saves."""

import jax

from tests import moving


def test_a_run_goes_on_with_other_processes_and_devices(tmp_path):
  cache = jax.config.jax_compilation_cache_dir
  with (
    moving.Team(processes=1, devices=1, cache=cache) as one,
    moving.Team(processes=2, devices=2, cache=cache) as two,
    moving.Team(processes=2, devices=1, cache=cache) as others,
  ):
    for system in ('margin', 'core_set'):
      part = moving.Part(system, copies=3, seed=0, chunk_size=30)
      _, alone = one.run(part)
      assert len(alone) == 3
      part = part._replace(folder=tmp_path / system, end=moving.STOPPED)
      assert two.run(part._replace(after=2)) == (moving.STOPPED, alone[:1])
      assert one.run(part._replace(after=4)) == (moving.STOPPED, alone[:2])
      # Rounds of before come from the checkpoint.
      assert others.run(part._replace(end=moving.OVER)) == (moving.OVER, alone)
