"""Shows the newest queries of a run: pictures and predictions."""

import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from al_jax import data, errors, files, parts, plotting
from al_jax.data import Dataset
from al_jax.pages.experiment import Experiment
from al_jax.runner import queries
from al_jax.storage.records import RoundRecord

# Maximal number of pictures in a sheet.
MOST_PICTURES = 24
# Maximal number of cached sheets.
_MOST_KEPT = 32


class Sheet(NamedTuple):
  """Queries of a round.

  Attributes:
    png: The pictures, side by side.
    facts: JSON values: `round`, `labels`, `asked` (number of queries), `score`
      (name of the acquisition values), `width` and `height` of a picture in
      pixels, and `tiles`, for each picture `label`, `predicted`,
      `probability`, `value`, `true_marks` and `marks`.
  """

  png: bytes
  facts: dict[str, Any]


class QuerySheets:
  """Maker of sheets on demand, which keeps the data set of the last one."""

  def __init__(self):
    """Loads nothing yet."""
    self._lock = threading.Lock()
    self._which = self._dataset = None
    # Reasons why data sets cannot be shown, by key.
    self._problems: dict[str, str] = {}
    self._kept: dict[tuple[Any, ...], Sheet] = {}

  def sheet(self, experiment: Experiment, system: str, seed: int) -> Sheet:
    """Makes the sheet of the newest round with queries.

    Args:
      experiment: Experiment of the run.
      system: Name of the system.
      seed: Seed of the run.

    Returns:
      The sheet.

    Raises:
      ValueError: If there is nothing to show; the message says why.
    """
    lines = experiment.lines_of_queries(system, seed)
    if not lines:
      raise ValueError(f'{system}, seed {seed}, has made no query yet.')
    with self._lock:
      key = experiment.folder, lines[-1]
      if key not in self._kept:
        record = RoundRecord.from_json(lines[-1].decode())
        dataset = self._load(experiment.about)
        said = queries.read(experiment.folder / queries.NAME)
        place = record.system, record.seed, record.round
        self._kept[key] = _drawn(record, dataset, said.get(place))
        while len(self._kept) > _MOST_KEPT:
          del self._kept[next(iter(self._kept))]
      return self._kept[key]

  def _load(self, about: Mapping[str, Any]) -> Dataset:
    """Returns the data set of a manifest; raises ValueError if it cannot."""
    facts = about.get('data', {})
    spec, fingerprint = (
      about.get('config', {}).get('data'),
      facts.get('fingerprint'),
    )
    if spec is None or fingerprint is None:
      raise ValueError('The pictures cannot be shown: there is no manifest.')
    which = files.digest(files.json_value({'of': [spec, fingerprint]}))
    if which in self._problems:
      raise ValueError(self._problems[which])
    if which != self._which:
      self._which = self._dataset = None  # never two at a time
      try:
        self._dataset = _loaded(spec, fingerprint)
      except (ValueError, OSError, ImportError, MemoryError) as error:
        self._problems[which] = (
          f'The pictures cannot be shown: {errors.clause(error)}.'
        )
        raise ValueError(self._problems[which]) from error
      self._which = which
    return self._dataset


def _loaded(spec, fingerprint) -> Dataset:
  """Loads a data set; checks that it has pictures and this fingerprint."""
  source = spec['source'] if isinstance(spec, Mapping) else spec
  if parts.is_dotted(str(source)):
    raise ValueError(
      f'the data come from {source}, but a page does not run code that a '
      'manifest names'
    )
  dataset = data.load(spec)
  if dataset.fingerprint != fingerprint:
    raise ValueError(
      f'{dataset.name} has changed since the run: its fingerprint is '
      f'{dataset.fingerprint}, and that of the run {fingerprint}'
    )
  if not dataset.has_pictures:
    raise ValueError(f'{dataset.name} has no pictures')
  return dataset


def _drawn(
  record: RoundRecord, dataset: Dataset, said: queries.Said | None
) -> Sheet:
  """Lays out the first queries of a round."""
  # Generated queries are not in the data set.
  of_pool = [pick for pick in record.picks if pick < len(dataset.train)]
  picks = of_pool[:MOST_PICTURES]
  if not picks:
    raise ValueError('The queries of this round are not from the pool.')
  pictures = dataset.pictures_at(np.array(picks, int))
  if len({np.shape(picture) for picture in pictures}) != 1:
    raise ValueError('The pictures are not all of one size.')
  (row,) = plotting.displayable([pictures])
  if said is not None and said.picks[: len(picks)] != picks:
    said = None
  return Sheet(
    _png(row),
    {
      'round': record.round,
      'labels': record.labels,
      'asked': len(record.picks),
      'score': '' if said is None else said.score,
      'width': row[0].shape[1],
      'height': row[0].shape[0],
      'tiles': [
        _tile(dataset, pick, at, said) for at, pick in enumerate(picks)
      ],
    },
  )


def _png(pictures: Sequence[np.ndarray]) -> bytes:
  from PIL import Image

  file = io.BytesIO()
  Image.fromarray(np.concatenate(pictures, axis=1)).save(file, format='png')
  return file.getvalue()


def _tile(dataset, pick, at, said) -> dict[str, Any]:
  """Returns the label, prediction and marks of a query, as JSON values."""
  # The oracle has answered by now, so the target is no secret.
  target = jax.tree.map(lambda part: part[pick], dataset.train.targets)
  tile = {
    'label': '' if target is None else dataset.task.spell(target),
    'true_marks': [] if target is None else _lists(dataset.task.marks(target)),
  }
  if said is not None:
    probabilities, marks = said.probabilities, said.marks
    tile |= {
      'predicted': said.predicted[at],
      'probability': None if probabilities is None else probabilities[at],
      'value': said.values[at],
      'marks': _lists(marks[at]) if at < len(marks) else [],
    }
  return files.json_value(tile)


def _lists(marks) -> list[Any]:
  return [np.asarray(line, float).tolist() for line in marks]
