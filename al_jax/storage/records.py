"""The one definition of a result row, and the files that are made from it.

A run yields one `RoundRecord` per round. The log line, JSONL, CSV, TensorBoard,
tables and plots are all functions of a list of them, so that nothing is said in
one place that is not said in the others.
"""

import csv
import dataclasses
import inspect
import json
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from al_jax import errors, files
from al_jax.storage import metrics
from al_jax.tasks import Metric

# They depend on the clock or on the process, and not on what was computed.
_INCIDENTAL = (
  'seconds_fit',
  'seconds_evaluate',
  'seconds_measure',
  'seconds_select',
  'seconds_other',
  'compilations',
)


# Of the records in files, kept in the manifest. Format 1 had other names.
FORMAT = 2
_RENAMED = {
  'machine_labels': 'pseudo_labels',
  'machine_accuracy': 'pseudo_label_accuracy',
}


@dataclasses.dataclass(frozen=True)
class RoundRecord:
  """What is reported of one round.

  Scalars and arrays of NumPy and JAX are accepted and become Python's own.

  Attributes:
    system: name of the learner and strategy that ran.
    seed: which repetition.
    round: from 0.
    labels: queries that were answered when this round's model was trained,
      abstentions and answers of a machine included; only the others were paid
      for.
    trainable: of these, how many could be trained on.
    steps: training steps taken in this round.
    test: the metrics of the task, on the test split. Empty if there is none.
    test_class_accuracy: C long, None where the test split lacks the class;
      empty if there are no classes.
    train: the loss and what the task watches, on what was trained on.
    seconds_fit: training.
    seconds_evaluate: the passes over the test and the validation split.
    seconds_measure: the strategy's look over the pool.
    seconds_select: the strategy's choice.
    seconds_other: the rest of the round.
    picks: pool positions asked about at the end of this round, in order; empty
      in the last round.
    pick_ids: the data set's own names of the picks.
    pick_classes: C long, how many picks turned out to be of each class; empty
      if there are no classes.
    batch: what the picks are like together (see `batch_diagnostics`), if that
      was asked for.
    compilations: programs compiled by this process since the run began.
    validation: as `test`, on the validation split: what choices are made by.
      Empty if there is none.
    parts: names by role (`model`, `learner`, `strategy`, `augment`, ...) of the
      parts of the system that are the user's own, and of a `loss` in place of
      the task's. Files and `deterministic` leave it out if it is empty.
    ledger: what was paid to whom until then, see `loop.ledger`. Empty without
      prices and without answers of a machine; then files leave it out.
  """

  system: str
  seed: int
  round: int
  labels: int
  trainable: int
  steps: int
  test: dict[str, float]
  test_class_accuracy: list[float | None]
  train: dict[str, float]
  seconds_fit: float
  seconds_evaluate: float
  seconds_measure: float
  seconds_select: float
  seconds_other: float
  picks: list[int]
  pick_ids: list[str | int]
  pick_classes: list[int]
  batch: dict[str, float]
  compilations: int
  validation: dict[str, float] = dataclasses.field(default_factory=dict)
  parts: dict[str, str] = dataclasses.field(default_factory=dict)
  ledger: dict[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      try:
        plain = _TO_PLAIN[field.type](value)
      except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
          f'RoundRecord.{field.name} is {value!r}; it must be '
          f'{inspect.formatannotation(field.type)}.'
        ) from error
      object.__setattr__(self, field.name, plain)
    if len(self.picks) != len(self.pick_ids):
      raise ValueError(
        f'RoundRecord.picks has {len(self.picks)} entries and pick_ids '
        f'{len(self.pick_ids)}; there must be one id for each pick.'
      )

  @property
  def seconds(self) -> float:
    """What the round took."""
    return (
      self.seconds_fit
      + self.seconds_evaluate
      + self.seconds_measure
      + self.seconds_select
      + self.seconds_other
    )

  def to_json(self) -> str:
    """One line of valid JSON; NaN and infinities are strings in it."""
    return json.dumps(_values(self), allow_nan=False)

  @classmethod
  def from_json(cls, line: str) -> 'RoundRecord':
    """The record that `to_json` wrote, exactly: every float bit for bit.

    Lines of an earlier format are read as the same record of today.
    """
    values = json.loads(line)
    if not isinstance(values, dict):
      raise ValueError(f'A record is a JSON object, not {line[:80]!r}.')
    values = _upgraded(values)
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    for name in values:
      if name not in names:
        raise errors.unknown_name('Record field', name, names)
    missing = [
      field.name
      for field in fields
      if field.name not in values
      and field.default_factory is dataclasses.MISSING
    ]
    if missing:
      raise ValueError(f'The record lacks: {", ".join(missing)}.')
    return cls(**values)

  @property
  def named_parts(self) -> str:
    """The parts in a line: `'model my.Net, loss focal'`; maybe empty."""
    return ', '.join(f'{role} {name}' for role, name in self.parts.items())

  def flat(self) -> dict[str, str | int | float]:
    """The system and all numbers by column name: `labels`, `test.accuracy`."""
    columns = {}
    for name, value in vars(self).items():
      if name == 'parts':
        continue
      if isinstance(value, dict):
        columns |= {f'{name}.{key}': number for key, number in value.items()}
      elif not isinstance(value, list):
        columns[name] = value
    return columns


def _values(record: RoundRecord) -> dict[str, Any]:
  """The fields as JSON has them; most have no `parts` and no `ledger`."""
  values = files.json_value(vars(record))
  return {
    name: value
    for name, value in values.items()
    if value or name not in ('parts', 'ledger')
  }


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
  """Returns the fields of a record of any format as they are named today."""
  train = values.get('train')
  if not isinstance(train, dict):
    return values
  train = {_RENAMED.get(name, name): value for name, value in train.items()}
  return {**values, 'train': train}


def _text(value: Any) -> str:
  if not isinstance(value, str):
    raise TypeError(value)
  return str(value)


def _whole_number(value: Any) -> int:
  # `index` refuses 1.5, which `int` would cut; it leaves True as it is.
  return int(operator.index(value))


def _floats_by_name(values: Mapping[str, Any]) -> dict[str, float]:
  return {_text(name): float(value) for name, value in values.items()}


def _texts_by_name(values: Mapping[str, Any]) -> dict[str, str]:
  return {_text(name): _text(value) for name, value in values.items()}


def _floats_or_none(values: Iterable[Any]) -> list[float | None]:
  return [None if value is None else float(value) for value in values]


def _whole_numbers(values: Iterable[Any]) -> list[int]:
  return [_whole_number(value) for value in values]


def _identifiers(values: Iterable[Any]) -> list[str | int]:
  return [
    str(value) if isinstance(value, str) else _whole_number(value)
    for value in values
  ]


# By the annotation of a field. `float` also reads 'NaN' and 'Infinity', which
# is what `json_value` writes.
_TO_PLAIN = {
  str: _text,
  int: _whole_number,
  float: float,
  dict[str, float]: _floats_by_name,
  dict[str, str]: _texts_by_name,
  list[float | None]: _floats_or_none,
  list[int]: _whole_numbers,
  list[str | int]: _identifiers,
}


def deterministic(record: RoundRecord) -> dict[str, Any]:
  """What two runs of the same seed must agree on, bit for bit.

  Args:
    record: a round.

  Returns:
    Its fields but for seconds and compilations. NaN is a string here, so that
    equal records compare equal.
  """
  values = _values(record)
  return {name: values[name] for name in values if name not in _INCIDENTAL}


def log_line(record: RoundRecord, headline: Metric) -> str:
  """Returns one line for people to read while the run goes on.

  Args:
    record: a round.
    headline: of the task, which the line tells.
  """
  seconds = record.seconds_measure + record.seconds_select
  # A run compiles in its first round.
  compiling = ', compiling included' if record.round == 0 else ''
  pseudo = ''
  if number := record.train.get('pseudo_labels'):
    pseudo = f', {number:,.0f} pseudo-labels'
    right = record.train.get('pseudo_label_accuracy')
    if right is not None:
      pseudo += f' ({100 * right:.1f}% right)'
  return (
    f'{record.system}, seed {record.seed}, round {record.round}: '
    f'{record.labels} labels, {_headline(record, headline)}, '
    f'{record.steps} steps in '
    f'{record.seconds_fit:.2f} s, asked in {seconds:.2f} s'
    f'{compiling}{pseudo}'
  )


def _headline(record, headline):
  """Of the test split; without one, of the validation split."""
  for split, found in (
    ('test', record.test),
    ('validation', record.validation),
  ):
    if headline.name in found:
      name = metrics.spelled(metrics.column(headline, split).name)
      value = metrics.number(found[headline.name], headline)
      return f'{name} {value}{headline.unit}'
  return 'no test split'


def write_jsonl(path: files.Path, records: Iterable[RoundRecord]) -> None:
  """Writes one line of JSON per record, replacing the file as a whole."""
  with files.replacing(path) as partial, open(partial, 'w') as file:
    file.writelines(record.to_json() + '\n' for record in records)


def append_jsonl(path: files.Path, record: RoundRecord) -> None:
  """Adds a line to what `write_jsonl` wrote: all of it, or nothing."""
  files.append_line(path, record.to_json())


def read_jsonl(path: files.Path) -> list[RoundRecord]:
  """Reads what `write_jsonl` wrote; an error names the line."""
  records = []
  with open(path, encoding='utf-8') as file:
    for number, line in enumerate(file, start=1):
      try:
        records.append(RoundRecord.from_json(line))
      except ValueError as error:
        raise ValueError(
          f'{path}, line {number} is no record: {error}'
        ) from error
  return records


def write_csv(path: files.Path, records: Iterable[RoundRecord]) -> None:
  """Writes the scalars, one row per record, replacing the file as a whole.

  Args:
    path: the file.
    records: the rows. A column that only some of them have is empty in the
      others. Floats are written in full. Parts are in one column.
  """
  rows = [_row(record) for record in records]
  columns = list(dict.fromkeys(name for row in rows for name in row))
  with (
    files.replacing(path) as partial,
    open(partial, 'w', newline='', encoding='utf-8') as file,
  ):
    writer = csv.DictWriter(file, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)


def _row(record):
  parts = {'parts': record.named_parts} if record.parts else {}
  return {**record.flat(), **parts}
