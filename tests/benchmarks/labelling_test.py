"""A tiny project: too small to say how long people wait."""

from experiments.benchmarks import labelling


def test_asking_and_telling_are_timed_as_a_shell_sees_them():
  ask, tell = labelling.batches(60, 4, k=5, rounds=1)

  assert ask.seconds > tell.seconds > 0
  assert ask.ratio == ask.seconds / 10
