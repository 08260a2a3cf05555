"""Definition of a result row, and the files made from it.

A run yields one `RoundRecord` per round. The log line, JSONL, CSV, TensorBoard,
tables and plots are all functions of a list of records, so that they agree.
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

# Fields that depend on the clock or the process, not on the computation.
_INCIDENTAL = (
  'seconds_fit',
  'seconds_evaluate',
  'seconds_measure',
  'seconds_select',
  'seconds_other',
  'compilations',
)


# Format of records in files; the manifest has it. Format 1 had other names.
FORMAT = 2
_RENAMED = {
  'machine_labels': 'pseudo_labels',
  'machine_accuracy': 'pseudo_label_accuracy',
}


@dataclasses.dataclass(frozen=True)
class RoundRecord:
  """Results of one round.

  NumPy and JAX scalars and arrays are converted to Python types.

  Attributes:
    system: name of the learner and strategy that ran.
    seed: seed of the run.
    round: number of the round, from 0.
    labels: number of queries answered before this round's model was trained,
      including abstentions and answers of a machine; only the others were paid
      for.
    trainable: number of these queries with a label to train on.
    steps: number of training steps in this round.
    test: metrics of the task on the test split; empty without one.
    test_class_accuracy: C values, None if the test split lacks the class; empty
      if there are no classes.
    train: the loss and the task's training metrics, on the training examples.
    seconds_fit: seconds of training.
    seconds_evaluate: seconds of the passes over test and validation split.
    seconds_measure: seconds of the strategy's pass over the pool.
    seconds_select: seconds of the strategy's choice.
    seconds_other: seconds of the rest of the round.
    picks: pool indices queried at the end of this round, in order; empty in the
      last round.
    pick_ids: names of the picks in the data set.
    pick_classes: C counts of picks, by the class of their answers; empty if
      there are no classes.
    batch: description of the picks as a set (see `batch_diagnostics`), if it
      was requested.
    compilations: programs compiled by this process since the run began.
    validation: metrics of the task on the validation split, for choosing
      between systems; empty without one.
    parts: names by role (`model`, `learner`, `strategy`, `augment`, ...) of the
      user's own parts of the system, and of a `loss` that replaces the task's.
      Files and `deterministic` leave it out if it is empty.
    ledger: payments so far, see `loop.ledger`. It is empty without prices and
      without answers of a machine; then files leave it out.
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
    """Returns the seconds of the whole round."""
    return (
      self.seconds_fit
      + self.seconds_evaluate
      + self.seconds_measure
      + self.seconds_select
      + self.seconds_other
    )

  def to_json(self) -> str:
    """Returns one line of valid JSON, with NaN and infinities as strings."""
    return json.dumps(_values(self), allow_nan=False)

  @classmethod
  def from_json(cls, line: str) -> 'RoundRecord':
    """Reads a record that `to_json` wrote; floats are restored bit for bit.

    Lines of an earlier format are converted to the current one.
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
    """Lists the parts in one line, such as `'model my.Net, loss focal'`."""
    return ', '.join(f'{role} {name}' for role, name in self.parts.items())

  def flat(self) -> dict[str, str | int | float]:
    """Maps column names (`labels`, `test.accuracy`) to system and numbers."""
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
  """Returns the fields as JSON values, without empty `parts` and `ledger`."""
  values = files.json_value(vars(record))
  return {
    name: value
    for name, value in values.items()
    if value or name not in ('parts', 'ledger')
  }


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
  """Renames the fields of a record of any format to those of today."""
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
  # `index` rejects 1.5, which `int` would truncate, but returns True as it is.
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


# Keyed by the annotation of a field. `float` also reads 'NaN' and 'Infinity',
# the strings that `json_value` writes.
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
  """Returns the fields in which two runs of one seed must agree bit for bit.

  Args:
    record: a round.

  Returns:
    All fields except seconds and compilations. NaN is a string here, so that
    equal records compare equal.
  """
  values = _values(record)
  return {name: values[name] for name in values if name not in _INCIDENTAL}


def log_line(record: RoundRecord, headline: Metric) -> str:
  """Returns one line about a round, for people who follow the run.

  Args:
    record: a round.
    headline: the task's headline metric, whose value the line shows.
  """
  seconds = record.seconds_measure + record.seconds_select
  # The first round includes compilation.
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
  """Shows the headline on the test split, or else on the validation split."""
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
  """Appends a record to a file of `write_jsonl`: a whole line or nothing."""
  files.append_line(path, record.to_json())


def read_jsonl(path: files.Path) -> list[RoundRecord]:
  """Reads the records that `write_jsonl` wrote; an error names the line."""
  records = []
  with open(path, encoding='utf-8') as file:
    for number, line in enumerate(file, start=1):
      try:
        records.append(RoundRecord.from_json(line))
      except ValueError as error:
        raise ValueError(
          f'{path}, line {number} is not a record: {error}'
        ) from error
  return records


def write_csv(path: files.Path, records: Iterable[RoundRecord]) -> None:
  """Writes the scalars, one row per record, replacing the file as a whole.

  Args:
    path: the file.
    records: the rows. A record that lacks a column of others has it empty.
      Floats are written in full. The parts share one column.
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
