"""Runs systems from Python in one call, without a folder of results."""

import base64
import contextlib
import dataclasses
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from al_jax import data as data_lib
from al_jax import systems as systems_lib
from al_jax.data import Dataset
from al_jax.interfaces import Learner, Strategy
from al_jax.loop.events import Observer
from al_jax.loop.protocol import Protocol
from al_jax.runner import config as config_lib
from al_jax.runner import defaults, options, own_systems, pretraining, progress
from al_jax.runner import jobs as jobs_lib
from al_jax.storage import manifest
from al_jax.storage.records import RoundRecord
from al_jax.tasks import Metric

# Makes pictures in a notebook as wide as a column of text.
_DOTS_PER_INCH = 110


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
  """Results of systems; a notebook shows them as curves and a table.

  Attributes:
    records: a record for each round of each system and seed.
    headline: the metric that tables and curves show.
    title: name of the data set.
    notes: warnings, in sentences.
  """

  records: Sequence[RoundRecord]
  headline: Metric
  title: str
  notes: Sequence[str] = ()

  @property
  def table(self) -> str:
    """The results as text: a row per number of labels, a row per system."""
    from al_jax.runner import outputs

    return outputs.summary(self.records, self.headline, self.notes)

  def figure(self) -> Any:
    """Draws the learning curves.

    Returns:
      A Figure of Matplotlib, which can be saved; None if there is neither a
      test split nor a validation split.
    """
    # Deferred because importing Matplotlib and SciPy takes seconds.
    from al_jax import plotting
    from al_jax.analysis import curves

    metric = curves.headline_of(self.records, self.headline)
    if metric is None:
      return None
    return plotting.learning_curves(
      self.records, metric=metric, title=self.title
    )

  def __str__(self) -> str:
    return self.table

  def __repr__(self) -> str:
    names = dict.fromkeys(record.system for record in self.records)
    return f'Results({len(self.records)} records of {", ".join(names)})'

  def _repr_html_(self) -> str:
    table = f'<pre>{html.escape(self.table)}</pre>'
    figure = self.figure()
    if figure is None:
      return table
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=_DOTS_PER_INCH)
    encoded = base64.b64encode(picture.getvalue()).decode()
    return f'<img src="data:image/png;base64,{encoded}">{table}'


def run(
  systems: own_systems.AnySystem
  | Sequence[own_systems.AnySystem]
  | Mapping[str, own_systems.AnySystem],
  data: Dataset | str | Mapping[str, Any],
  *,
  seeds: int = 1,
  first_seed: int = 0,
  protocol: Protocol | Mapping[str, Any] | None = None,
  model: Any = None,
  learner: Mapping[str, Any] | None = None,
  strategy: Mapping[str, Any] | None = None,
  observers: Sequence[Observer] = (),
  quiet: bool = False,
  **config: Any,
) -> Results:
  """Runs systems on a data set, all on the same seeds.

  The results equal those of `al-jax run` with the same settings. Nothing is
  written to disk: for results that resume after an interruption, use that
  command; for each round as it ends, use `loop.run_rounds`.

  Args:
    systems: published names, `learner+strategy`, or your own strategies: a
      function that returns a Strategy goes by its own name. Other parts need a
      name: `{'mine': my_strategy(k=3)}`, or with your own learner
      `{'mine': {'learner': my_learner, 'strategy': my_strategy}}`.
    data: a Dataset, or any argument of `al_jax.load`, such as `'digits'`.
    seeds: number of seeds.
    first_seed: first of the seeds.
    protocol: a Protocol, or some of its fields, over the defaults: 10 rounds,
      100 labels per round, a first set of 100.
    model: a name, a mapping of `name` and options, or your own Flax module, see
      `systems.build`. An MLP by default.
    learner: options of the learners, over the defaults. Your own functions
      receive the options here and in `strategy` that they have as keyword-only
      arguments.
    strategy: options of the strategies, over the published ones.
    observers: see `loop.run_rounds`.
    quiet: whether to hide the progress.
    **config: further fields of a config (al_jax/runner/defaults.py), such as
      `oracle={'noise': 0.1}`, `subset_size=1000`.

  Returns:
    Results.

  Raises:
    ValueError: arguments do not fit together; raised before any work.
  """
  parts = own_systems.named(systems)
  if model is not None and not isinstance(model, Mapping):
    model = {'name': model}
  for field, value in (('learner', learner), ('strategy', strategy)):
    if callable(value) or isinstance(value, Learner | Strategy):
      raise ValueError(
        f'{field} is a {field} of yours; it is a part of a system: '
        f"systems={{'mine+...': {{'{field}': it}}}}. As {field} pass options."
      )
  if isinstance(protocol, Protocol):
    protocol = dataclasses.asdict(protocol)
  given = {
    'seeds': seeds,
    'first_seed': first_seed,
    'protocol': protocol,
    'model': model,
    'learner': learner,
    'strategy': strategy,
    **config,
  }
  dataset = data if isinstance(data, Dataset) else data_lib.load(data)
  with _in_arguments():
    experiment = _experiment(parts, given, dataset)
  records = _Records()
  jobs = jobs_lib.jobs_of(experiment.config, list(parts), workers=1)
  rounds = experiment.protocol.rounds * seeds * len(parts)
  with progress.ProgressBar(
    rounds, dataset.task, num_systems=len(parts), quiet=quiet
  ) as bar:
    jobs_lib.run_jobs(
      experiment, jobs, None, lambda: False, [records, bar, *observers]
    )
  return _results(records.rows, experiment)


@contextlib.contextmanager
def _in_arguments():
  """Removes `config.` from error messages, to leave names of arguments."""
  try:
    yield
  except ValueError as error:
    said = re.sub(r'\bconfig\.(?=[a-z])', '', str(error))
    if said == str(error):
      raise
    raise ValueError(said) from error


def _experiment(parts, given, dataset):
  """Prepares an experiment; raises ValueError before any work."""
  names = [name for name, part in parts.items() if part is None]
  config = _config(given, names)
  experiment = config_lib.prepare(config, dataset=dataset)
  mine = {
    name: own_systems.options_of(name, part)
    for name, part in parts.items()
    if part is not None
  }
  options.check_system_options(config, names=names, own=mine)
  experiment, _ = pretraining.with_weights(experiment, lambda: False)
  for name, part in parts.items():
    if part is None:
      config_lib.system_of(experiment, name)
    else:
      experiment.built[name] = own_systems.build(experiment, name, part, given)
  return experiment


class _Records:
  """Observer that keeps records in memory."""

  def __init__(self):
    self.rows = []

  def on_record(self, record):
    self.rows.append(record)


def _config(given, names):
  """Returns the defaults with the given fields replaced, as plain values."""
  for field in ('full_labels', 'grid'):
    if field in given:
      raise ValueError(f'{field} is for `al-jax run`; al_jax.run has none.')
  if 'workdir' in given:
    raise ValueError(
      'al_jax.run has no workdir, because it writes nothing to disk; '
      '`al-jax run --workdir=...` does.'
    )
  config = manifest.plain_config(defaults.get_config().to_dict())
  del config['grid']
  config['systems'] = names or [systems_lib.BASELINE]
  for field, value in given.items():
    if value is not None:
      config[field] = own_systems.over(config.get(field), value)
  return config


def _results(
  records: Iterable[RoundRecord], experiment: config_lib.Experiment
) -> Results:
  from al_jax.analysis import tables

  rows, dataset = list(records), experiment.dataset
  notes = [
    *tables.majority_notes(rows, manifest.majority(dataset)),
    *tables.short_notes(rows, experiment.config),
  ]
  return Results(rows, dataset.task.headline, dataset.name, notes)
