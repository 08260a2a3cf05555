"""Collects a learner's pictures of a trained round."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from al_jax import errors, keys
from al_jax.loop.program import Program
from al_jax.loop.run_state import Run

# A larger sheet is too large to look at.
_MOST = 100
# A name becomes part of a file name.
_NAME = re.compile(r'[A-Za-z]\w*', re.ASCII)


class RoundPictures(NamedTuple):
  """Pictures of a round, for people to look at.

  Attributes:
    system: name of the system.
    seed: seed of the run.
    round: the trained round.
    images: maps names to images: uint8, or float32 from 0 to 1, [n, height,
      width] or [n, height, width, 1 or 3].
  """

  system: str
  seed: int
  round: int
  images: Mapping[str, np.ndarray]


def of_round(program: Program, run: Run) -> RoundPictures | None:
  """Collects the pictures of a round; None if the learner gives none.

  Args:
    program: the compiled system.
    run: the run, after its training.

  Raises:
    ContractError: the pictures break the contract of `interfaces.Learner`.
  """
  if program.pictures is None:
    return None
  key = keys.for_round(run.seed, run.round, keys.PICTURES)
  images = program.pictures(key, run.state.learner, run.state.pool)
  if images is None:
    return None
  images = jax.device_get(images)
  problem = _problem(images)
  if problem:
    raise errors.ContractError(
      f'round {run.round}, seed {run.seed}: the pictures of system '
      f'{program.system.name!r} {problem}.'
    )
  return RoundPictures(program.system.name, run.seed, run.round, images)


def _problem(images):
  """Describes how pictures violate the contract; empty if they are valid."""
  if not isinstance(images, Mapping):
    return f'are {type(images).__name__}; they must be a mapping by name'
  for name, of in images.items():
    if not hasattr(of, 'dtype'):
      return f'{name!r} are {type(of).__name__}; they must be an array'
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      return (
        f'have the name {name!r}; a name consists of letters, digits and '
        'underscores, and begins with a letter'
      )
    what = f'{name!r} are {of.dtype}{list(of.shape)}'
    if of.dtype not in (np.uint8, np.float32):
      return f'{what}; they must be uint8 or float32'
    if of.ndim not in (3, 4) or (of.ndim == 4 and of.shape[3] not in (1, 3)):
      return f'{what}; they must be [n, height, width] or [..., 1 or 3]'
    if not of.size or len(of) > _MOST:
      return f'{what}; there must be from 1 to {_MOST} of them'
    # Written so that NaN fails as well.
    if of.dtype == np.float32 and not np.all((of >= 0) & (of <= 1)):
      return f'{name!r} have a value outside 0 to 1, or one that is not finite'
  return ''
