"""The conclusion of a report in one sentence, and warnings."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from al_jax.analysis import curves, naming, streams, tables, tests
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.page import Explanation, Part, Text
from al_jax.reporting.results import SIGNIFICANT
from al_jax.storage import metrics
from al_jax.tasks import Metric

# A sentence with more names is too long to read.
_MOST_NAMES = 5
_CORRECTED = " after Holm's correction"


def parts(
  experiments: Sequence[ExperimentResults],
  *,
  baseline: str,
  not_begun: Sequence[str],
) -> list[Part]:
  """Builds the head of the page: the conclusion, and warnings.

  Args:
    experiments: the results.
    baseline: the system that the others are compared with.
    not_begun: names of experiments of the grid without results.

  Returns:
    Parts of the page.
  """
  found = [
    Text(text(experiments, baseline), 'conclusion'),
    Explanation('conclusion', baseline),
  ]
  cheating = dict.fromkeys(
    name for of in experiments for name in of.systems if naming.cheats(name)
  )
  if cheating:
    left_out = (
      f'Diagnostics that read hidden labels, so not methods: '
      f'{", ".join(cheating)}. The sentence above and comparisons over '
      'experiments leave them out.'
    )
    found.append(Text(left_out, 'note'))
  missing = sum(bool(experiment.missing) for experiment in experiments)
  if missing:
    who = f': {missing} of {len(experiments)} experiments'
    found.append(
      Text(
        f'Not complete{who if len(experiments) > 1 else ""}. The page shows '
        'the results so far.',
        'warning',
      )
    )
  found += [
    *_pointer(
      'Some networks are no better than the most frequent class',
      [experiment.majority_notes() for experiment in experiments],
    ),
    *_pointer(
      'Some rounds made fewer queries than planned',
      [experiment.short_notes() for experiment in experiments],
    ),
  ]
  if not_begun:
    found.append(Text(f'Not started: {", ".join(not_begun)}.', 'warning'))
  return found


def _pointer(words, notes):
  """Yields a warning that points to the notes of experiments, if any."""
  number = sum(map(bool, notes))
  if number:
    who = f' in {number} of {len(notes)} experiments'
    where = who if len(notes) > 1 else ''
    yield Text(f'{words}{where}: see Learning curves.', 'warning')


def text(experiments: Sequence[ExperimentResults], baseline: str) -> str:
  """Summarises the results in a sentence.

  Args:
    experiments: the results.
    baseline: the system that the others are compared with.
  """
  if len(experiments) == 1:
    return sentence(experiments[0], baseline)
  return sentence_of_grid(experiments, baseline)


def sentence(experiment: ExperimentResults, baseline: str) -> str:
  """Names the systems of an experiment that differ from the baseline.

  A system is named as different if its corrected p value is significant.

  Args:
    experiment: the results.
    baseline: the system that the others are compared with.
  """
  headline = experiment.task.headline
  found = _tested(experiment, baseline)
  if not found:
    return _nothing_to_compare([experiment], baseline)
  pairs = [test.difference.n for test in found.values()]
  seeds = '-'.join(map(str, sorted({min(pairs), max(pairs)})))
  when = f'{_when(experiment)}over {seeds} seed{"" if seeds == "1" else "s"}, '
  if max(pairs) == 1:
    return f'{when}no difference from {baseline} can be tested.'
  if all(test.is_constant for test in found.values()):
    return (
      f'{when}no difference from {baseline} can be tested: every difference is '
      'the same for all seeds.'
    )
  better, worse = _told_apart(found, headline)
  if not better and not worse:
    # A single pair has no p value; nor do differences that are all the same.
    least = np.nanmin([test.t_holm for test in found.values()])
    return (
      f'{when}no system differs significantly from {baseline} (smallest p'
      f'{_CORRECTED if len(found) > 1 else ""}: {tables.p_value(least)}).'
    )
  above, below = _sides([headline])
  clauses = [
    _gaps(names, found, headline, f'{where} {baseline}')
    for names, where in ((better, above), (worse, below))
    if names
  ]
  others = [name for name in found if name not in {*better, *worse}]
  if others:
    who = (
      f'{others[0]} does' if len(others) == 1 else f'{len(others)} others do'
    )
    clauses.append(f'{who} not differ significantly from it')
  if len(found) > 1:
    clauses.append(f'p{_CORRECTED}')
  return f'{when}{"; ".join(clauses)}.{_direction([headline])}'


def _when(experiment):
  """Describes the point or the metric at which systems are compared."""
  so_far = experiment.missing
  if streams.are_of_stream(experiment.rows):
    what = 'by prequential accuracy on the stream, '
    return f'So far, {what}' if so_far else f'{what[:1].upper()}{what[1:]}'
  labels = curves.labels_of_all(experiment.runs)[-1]
  return f'{"So far, after" if so_far else "After"} {labels:,} labels, '


def _nothing_to_compare(experiments, baseline):
  """Explains why nothing is compared, and suggests a remedy."""
  if any(baseline in experiment.systems for experiment in experiments):
    return f'Nothing here can be compared with {baseline}.'
  names = dict.fromkeys(name for of in experiments for name in of.methods)
  text = f'There is no {baseline} here: run it too, to compare with it'
  if len(names) > 1:
    text += f', or compare with another system: --baseline={next(iter(names))}'
  return f'{text}.'


def _tested(experiment, baseline):
  """Tests the methods, corrected for all systems as in the table of tests."""
  if streams.are_of_stream(experiment.rows):
    found = streams.against_baseline(experiment.rows, baseline)
  else:
    found = tests.of_last_values(experiment.runs, baseline)
  return {name: of for name, of in found.items() if not naming.cheats(name)}


def sentence_of_grid(
  experiments: Sequence[ExperimentResults], baseline: str
) -> str:
  """Counts the experiments in which systems differ from the baseline.

  Args:
    experiments: the results.
    baseline: the system that the others are compared with.
  """
  tested, better, worse = (collections.Counter() for _ in range(3))
  headlines = [experiment.task.headline for experiment in experiments]
  for experiment, headline in zip(experiments, headlines, strict=True):
    if experiment.missing:
      continue
    found = _tested(experiment, baseline)
    tested.update(name for name in found if found[name].difference.n > 1)
    apart = _told_apart(found, headline)
    for counter, names in zip((better, worse), apart, strict=True):
      counter.update(names)
  above, below = _sides(headlines)
  clauses = [
    _counts(counter, tested, f'{where} {baseline} in')
    for counter, where in ((better, above), (worse, below))
    if counter
  ]
  if not any(baseline in experiment.runs for experiment in experiments):
    return _nothing_to_compare(experiments, baseline)
  if not clauses:
    return (
      f'No system differs significantly from {baseline} in a complete '
      'experiment.'
    )
  are_streams = {streams.are_of_stream(each.rows) for each in experiments}
  by = {
    frozenset({True}): 'By prequential accuracy on the stream',
    frozenset({False}): 'At the last number of labels',
  }.get(frozenset(are_streams), 'At the end')
  text = f'{by} {"; ".join(clauses)}.'
  return f'{text}{_direction(headlines)}'


def _sides(headlines: Sequence[Metric]) -> tuple[str, str]:
  """Returns words for the better and the worse side of the baseline."""
  larger = {headline.larger_is_better for headline in headlines}
  if len(larger) > 1:
    return 'better than', 'worse than'
  return ('above', 'below') if larger == {True} else ('below', 'above')


def _direction(headlines: Sequence[Metric]) -> str:
  return ' Lower is better.' if _sides(headlines)[0] == 'below' else ''


def _told_apart(
  found: Mapping[str, tests.PairedTest], headline: Metric
) -> tuple[list[str], list[str]]:
  """Returns the better and the worse systems, largest difference first."""
  apart = sorted(
    (name for name, test in found.items() if test.t_holm < SIGNIFICANT),
    key=lambda name: -abs(found[name].difference.mean),
  )
  better = [
    name
    for name in apart
    if (found[name].difference.mean > 0) == headline.larger_is_better
  ]
  return better, [name for name in apart if name not in better]


def _gap(test: tests.PairedTest, headline: Metric) -> tuple[str, str]:
  """Returns the distance of a system from the baseline, and its unit."""
  distance = abs(test.difference.mean)
  if headline.unit == '%':
    return f'{100 * distance:.1f}', 'points'
  return f'{distance:.3g}', metrics.spelled(headline.name)


def _gaps(names, found, headline, where):
  """Joins clauses like `margin is 4.6 points above random (p = 0.010)`."""
  texts = []
  for name in names:
    size, unit = _gap(found[name], headline)
    gap = f'{name} {size}' if texts else f'{name} is {size} {unit} {where}'
    p = tables.p_value(found[name].t_holm)
    texts.append(f'{gap} (p {"< 0.001" if p[0] == "<" else f"= {p}"})')
  return _listed(texts)


def _counts(counter, tested, where):
  """Joins clauses like `margin is above random in 2 of 3 experiments`."""
  texts = []
  for name, times in counter.most_common():
    if texts:
      texts.append(f'{name} in {times} of {tested[name]}')
    else:
      texts.append(f'{name} is {where} {times} of {tested[name]} experiments')
  return _listed(texts)


def _listed(texts):
  more = len(texts) - _MOST_NAMES
  rest = [f'and {more} more'] if more > 0 else []
  return ', '.join([*texts[:_MOST_NAMES], *rest])
