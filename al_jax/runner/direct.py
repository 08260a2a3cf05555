"""Runs systems from Python, in one call, without a folder of results."""

import base64
import dataclasses
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from al_jax import data as data_lib
from al_jax import errors
from al_jax import systems as systems_lib
from al_jax.data import Dataset
from al_jax.interfaces import Learner, Strategy
from al_jax.loop.events import Observer
from al_jax.loop.protocol import Protocol
from al_jax.runner import config as config_lib
from al_jax.runner import defaults, options, pretraining, progress
from al_jax.runner import jobs as jobs_lib
from al_jax.storage import manifest
from al_jax.storage.records import RoundRecord
from al_jax.tasks import Metric

# In a notebook, pictures are as wide as a column of text.
_DOTS_PER_INCH = 110

# The parts of a system that a mapping may name.
_PARTS = ('learner', 'model', 'strategy')

# The name of a system; a strategy of your own, or the function that makes it;
# or a mapping of `learner` and `strategy`, see `systems.build`.
AnySystem = str | Strategy | Callable[[], Strategy] | Mapping[str, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
  """What systems have reached; a notebook shows the curves and the table.

  Attributes:
    records: a record for each round of each system and seed.
    headline: the metric that tables and curves show.
    title: the name of the data set.
    notes: what to beware of, in sentences.
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
    # Matplotlib and SciPy take seconds to import.
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
  systems: AnySystem | Sequence[AnySystem] | Mapping[str, AnySystem],
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

  The results are those of `al-jax run` with the same settings. Nothing is
  written to disk: for results that resume after an interruption, use that
  command; for each round as it comes, use `loop.run_rounds`.

  Args:
    systems: published names, `learner+strategy`, or strategies of your own: a
      function that returns a Strategy goes by its own name. Other parts need a
      name: `{'mine': my_strategy(k=3)}`, or with a learner of your own
      `{'mine': {'learner': my_learner, 'strategy': my_strategy}}`.
    data: a Dataset, or what `al_jax.load` takes: `'digits'`.
    seeds: number of seeds.
    first_seed: the first of them.
    protocol: a Protocol; or some of its fields, over the defaults: 10 rounds,
      100 labels a round, 100 to begin with.
    model: a name; a mapping of `name` and options; or a Flax module of your
      own, see `systems.build`. An MLP by default.
    learner: options of the learners, over the defaults.
    strategy: options of the strategies, over the published ones.
    observers: see `loop.run_rounds`.
    quiet: show no progress.
    **config: further fields of a config (al_jax/runner/defaults.py), such as
      `oracle={'noise': 0.1}`, `subset_size=1000`.

  Returns:
    Results.

  Raises:
    ValueError: arguments that do not fit, before any work.
  """
  parts = _parts(systems)
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
  experiment = config_lib.prepare(
    _config(given, [name for name, part in parts.items() if part is None]),
    dataset=dataset,
  )
  options.check_system_options(experiment.config)
  _refuse_options_of_nobody(parts, experiment.config)
  experiment, _ = pretraining.with_weights(experiment, lambda: False)
  for name, part in parts.items():
    if part is None:
      config_lib.system_of(experiment, name)
    else:
      experiment.built[name] = _built(experiment, name, part)
  records = _Records()
  jobs = jobs_lib.jobs_of(experiment.config, list(parts), workers=1)
  rounds = experiment.protocol.rounds * seeds * len(parts)
  with progress.ProgressBar(
    rounds, dataset.task, num_systems=len(parts), quiet=quiet
  ) as bar:
    jobs_lib.run_jobs(
      experiment, jobs, None, lambda: False, [records, bar, *observers]
    )
  return _results(records.rows, dataset)


def _refuse_options_of_nobody(parts, config):
  """Parts of the user's own take no options of `strategy`."""
  own = [name for name, part in parts.items() if part is not None]
  looking = [
    name
    for name, part in parts.items()
    if part is None and options.looks(name, config)
  ]
  if config['strategy'] and own and not looking:
    raise ValueError(
      f'strategy is {config["strategy"]}, and no system here takes it: give '
      f'{own[0]} its options when you make it.'
    )


class _Records:
  """Keeps records in memory."""

  def __init__(self):
    self.rows = []

  def on_record(self, record):
    self.rows.append(record)


def _parts(systems):
  """Strategies of the user's own by name; None for names of the library."""
  if isinstance(systems, Mapping):
    named = list(systems.items())
  else:
    single = isinstance(systems, str | Strategy) or callable(systems)
    listed = [systems] if single else systems
    if not isinstance(listed, Sequence):
      raise ValueError(
        f'systems is {systems!r}; it must be names of systems, strategies of '
        'yours, or a mapping of names to parts.'
      )
    named = [(_name_of(each), each) for each in listed]
  parts = {}
  for name, part in named:
    if isinstance(part, Mapping) and isinstance(part.get('strategy'), str):
      # A learner of the user's own, with a strategy of the library.
      part = dict(part)
      name = f'{name}+{part.pop("strategy")}'
    if isinstance(part, str):
      if part != name:
        raise ValueError(
          f'systems has {name!r} for {part!r}; a system of the library keeps '
          'its name: pass a list, or a part of yours.'
        )
      name, part = systems_lib.canonical(part), None
    if name in parts:
      raise ValueError(f'systems has {name!r} twice; names must differ.')
    parts[name] = part
  if not parts:
    raise ValueError('systems is empty; name one or more.')
  return parts


def _name_of(part):
  """A name, or the name of a function."""
  if isinstance(part, str):
    return part
  name = getattr(part, '__name__', None)
  if name is None or not name.isidentifier():
    raise ValueError(
      f'systems has a {type(part).__name__} without a name: pass '
      "{'my_name': it}."
    )
  return name


def _config(given, names):
  """The defaults with what is given, as plain values."""
  for field in ('full_labels', 'grid'):
    if field in given:
      raise ValueError(f'{field} is for `al-jax run`; al_jax.run has none.')
  config = manifest.plain_config(defaults.get_config().to_dict())
  del config['grid']
  config['systems'] = names or [systems_lib.BASELINE]
  for field, value in given.items():
    if value is not None:
      config[field] = _over(config.get(field), value)
  return config


def _over(default, given):
  """A mapping over another, however deep; anything else takes its place."""
  if not isinstance(default, Mapping) or not isinstance(given, Mapping):
    return given
  merged = {
    name: _over(default.get(name), value) for name, value in given.items()
  }
  return {**default, **merged}


def _built(experiment, name, part):
  """A system with a part of the user's own."""
  config = experiment.config
  given = dict(part) if isinstance(part, Mapping) else {'strategy': part}
  for field in given:
    if field not in _PARTS:
      raise errors.unknown_option(f'system {name!r}', field, _PARTS)
  learner = given.get('learner')
  if learner is None or isinstance(learner, Mapping):
    # Over the options of all systems.
    known = _learner_options(name, config)
    given['learner'] = _over(known, learner or {})
  if not isinstance(learner, Learner):
    given.setdefault('model', config['model'])
    given['pretrained'] = experiment.pretrained
  return systems_lib.build(
    name,
    experiment.facts,
    subset_size=config['subset_size'],
    prefilter=config['prefilter'],
    **given,
  )


def _learner_options(name, config):
  """The options of the learner that a name begins with, or of the default."""
  learner, plus, _ = name.rpartition('+')
  known = f'{learner}+{systems_lib.BASELINE}' if plus else systems_lib.BASELINE
  return options.learner_options(known, config)


def _results(records: Iterable[RoundRecord], dataset: Dataset) -> Results:
  from al_jax.analysis import tables

  rows = list(records)
  notes = tables.majority_notes(rows, manifest.majority(dataset))
  return Results(rows, dataset.task.headline, dataset.name, notes)
