"""Learning-rate schedules over the share of a round, or over its steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from al_jax import errors


def _constant(fraction):
  return jnp.ones_like(fraction)


def _linear(fraction):
  return 1.0 - fraction


def _cosine(fraction):
  return 0.5 * (1.0 + jnp.cos(jnp.pi * fraction))


def _steps(fraction):
  return jnp.where(fraction < 0.5, 1.0, jnp.where(fraction < 0.75, 0.1, 0.01))


def _milestones(fraction, *, milestones, factor=0.1):
  passed = jnp.sum(fraction >= jnp.array(milestones, jnp.float32))
  return jnp.float32(factor) ** passed


# Multipliers of the learning rate by the fraction of the round that is over.
# `steps` divides it by 10 at one half and at three quarters. Keyword-only
# arguments are options of a schedule.
SCHEDULES = {
  'constant': _constant,
  'linear': _linear,
  'cosine': _cosine,
  'steps': _steps,
  'milestones': _milestones,
}


def _exponential(*, decay_rate, transition_steps, staircase=False):
  return optax.exponential_decay(
    1.0, transition_steps, decay_rate, staircase=staircase
  )


# Each makes an optax schedule, a multiplier given the number of steps.
BY_STEP = {'exponential': _exponential}


def check(schedule: str, options: Mapping[str, Any]) -> None:
  """Raises ValueError unless a schedule has the given options.

  Args:
    schedule: name of the schedule.
    options: options by name, without those that are None.
  """
  known = {**SCHEDULES, **BY_STEP}
  errors.check_name('schedule', schedule, known)
  errors.check_options_of('schedule', schedule, options, known)
  if 'milestones' in options:
    milestones = options['milestones']
    if not isinstance(milestones, Sequence) or isinstance(milestones, str):
      raise ValueError(
        f'milestones is {milestones!r}; it must be a list of shares.'
      )
    for milestone in milestones:
      errors.check_number('a milestone', milestone, above=0, below=1)
    if list(milestones) != sorted(set(milestones)):
      raise ValueError(f'milestones is {milestones!r}; they must increase.')
  numbers = ('factor', {'above': 0}), ('decay_rate', {'above': 0, 'most': 1})
  for option, bounds in numbers:
    if option in options:
      errors.check_number(option, options[option], **bounds)
  if 'transition_steps' in options:
    errors.check_number(
      'transition_steps', options['transition_steps'], int, least=1
    )
  if 'staircase' in options:
    errors.check_flag('staircase', options['staircase'])
