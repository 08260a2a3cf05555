"""Prequential accuracy and label rate of a stream."""

from al_jax import plotting
from al_jax.analysis import curves, streams
from al_jax.reporting import columns
from al_jax.reporting import results as report_results
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults
from al_jax.reporting.diagnostics import panel_rows
from al_jax.reporting.page import Part, Table, Text, picture_of
from al_jax.tasks import Metric

_METRICS = {rate: Metric(rate, '%', True) for rate in streams.RATES}


def parts(
  experiment: ExperimentResults, baseline: str
) -> dict[str, list[Part]]:
  """Builds a picture and a table of a stream, by the title of their section.

  Args:
    experiment: the results.
    baseline: the system that the others are compared with.

  Returns:
    The parts; empty if the experiment is not a stream.
  """
  found = streams.panels(experiment.rows)
  if not found:
    return {}
  picture = picture_of(
    experiment,
    'stream',
    plotting.curve_panels,
    found,
    rows=[{'position': row.pop('labels'), **row} for row in panel_rows(found)],
    caption='Over the examples of the stream, in equal pieces, each drawn at '
    'its end: the share that the model predicted right before learning from '
    'them, and the share that was queried.',
    in_percent=list(found),
    x_label=streams.POSITION,
    systems=experiment.order,
  )
  length = experiment.about.get('data', {}).get('train', 0)
  notes = streams.unfinished_notes(experiment.rows, length)
  warnings = [Text(note, 'warning') for note in notes]
  return {'Stream': [*warnings, picture, _table(experiment, baseline)]}


def _table(experiment, baseline):
  """Makes a table of rates over the whole stream, with tests of accuracy."""
  values = {
    rate: streams.of_whole(experiment.rows, rate) for rate in streams.RATES
  }
  compared = streams.against_baseline(experiment.rows, baseline)
  rows = []
  for system, by_seed in values['label_rate'].items():
    row = {'system': system, 'seeds': len(by_seed)}
    for rate, of in values.items():
      if system in of:
        row[rate], row[f'{rate}_se'], *_ = curves.mean_and_standard_error(
          of[system].values()
        )
    if system in compared:
      difference = compared[system].difference
      row |= {
        'difference': difference.mean,
        'standard_error': difference.standard_error,
        't_p': difference.p_value,
        't_p_holm': compared[system].t_holm,
      }
    rows.append(row)
  shown = [
    Column('system', 'system'),
    Column('seeds', 'seeds'),
    *(
      Column(columns.title(metric), (rate, f'{rate}_se'), columns.mean(metric))
      for rate, metric in _METRICS.items()
    ),
  ]
  if compared:
    shown += [
      report_results.difference_column(
        f'minus {baseline}', _METRICS[streams.ACCURACY]
      ),
      *report_results.p_value_columns('t', 't_p'),
    ]
  return Table(shown, rows, f'{experiment.slug}_stream_whole')
