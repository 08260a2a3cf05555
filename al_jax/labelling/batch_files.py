"""A batch of queries as files to label in: CSV, JSONL, and Label Studio."""

import base64
import csv
import html
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from al_jax import files
from al_jax.labelling.showing import Shown


class Query(NamedTuple):
  """One example that somebody is asked about.

  Attributes:
    id: of the example, as text.
    predicted: the class that the model predicts; None before there is one.
    probability: of that class; None likewise.
    value: what the example was chosen by; None likewise.
  """

  id: str
  predicted: str | None = None
  probability: float | None = None
  value: float | None = None


def paths(out: pathlib.Path) -> dict[str, pathlib.Path]:
  """Where a batch is written, by kind.

  Args:
    out: the CSV; the others lie beside it.
  """
  return {
    'csv': out,
    'jsonl': out.with_suffix('.jsonl'),
    'tasks': out.with_name(f'{out.stem}_label_studio.json'),
    'interface': out.with_name(f'{out.stem}_label_studio.xml'),
  }


def write(
  out: pathlib.Path,
  queries: Sequence[Query],
  positions: Sequence[int],
  shown: Shown,
  classes: Sequence[str],
) -> list[pathlib.Path]:
  """Writes a batch in all forms.

  Args:
    out: path of the CSV.
    queries: in order of choice.
    positions: of the queries in the pool.
    shown: what people see of the pool.
    classes: what they choose from.

  Returns:
    The paths that were written.
  """
  where = paths(out)
  _write_csv(where['csv'], queries)
  with files.replacing(where['jsonl']) as partial:
    lines = [json.dumps(_row(query)) + '\n' for query in queries]
    partial.write_text(''.join(lines), encoding='utf-8')
  tasks = _tasks(queries, shown, positions)
  with files.replacing(where['tasks']) as partial:
    partial.write_text(json.dumps(tasks), encoding='utf-8')
  with files.replacing(where['interface']) as partial:
    partial.write_text(_interface(shown, classes), encoding='utf-8')
  return list(where.values())


def _row(query):
  """A query with room for its label; what is not known is left out."""
  known = {
    name: value for name, value in query._asdict().items() if value is not None
  }
  return {'id': known.pop('id'), 'label': None, **known}


def _write_csv(path, queries):
  with (
    files.replacing(path) as partial,
    partial.open('w', newline='', encoding='utf-8') as file,
  ):
    rows = csv.writer(file, lineterminator='\n')
    rows.writerow(('id', 'label', 'predicted', 'probability', 'value'))
    for query in queries:
      numbers = [
        '' if number is None else f'{number:.4g}'
        for number in (query.probability, query.value)
      ]
      rows.writerow((query.id, '', query.predicted or '', *numbers))


def _tasks(queries, shown, positions):
  """Tasks of Label Studio, which begin with the predictions."""
  tasks = []
  for query, data in zip(queries, _data(shown, positions), strict=True):
    # Label Studio has an id of its own for each task.
    data['id_of_example'] = query.id
    task: dict[str, Any] = {'data': data}
    if query.predicted is not None:
      choice = {
        'from_name': 'label',
        'to_name': 'example',
        'type': 'choices',
        'value': {'choices': [query.predicted]},
      }
      task['predictions'] = [
        {
          'model_version': 'al_jax',
          'score': query.probability,
          'result': [choice],
        }
      ]
    tasks.append(task)
  return tasks


def _data(shown, positions) -> list[dict[str, Any]]:
  """What a task shows of each example."""
  if shown.has_pictures:
    # Inside the task, so that Label Studio has nothing to fetch.
    return [
      {'image': 'data:image/png;base64,' + base64.b64encode(content).decode()}
      for content in shown.pictures(positions)
    ]
  return [{'table': row} for row in shown.rows(positions)]


def _interface(shown, classes):
  """The labelling interface of a project in Label Studio, as XML."""
  choices = '\n'.join(
    f'    <Choice value="{html.escape(name, quote=True)}"/>' for name in classes
  )
  shows = '<Image name="example" value="$image"/>'
  if not shown.has_pictures:
    shows = (
      '<Header value="$id_of_example"/>\n'
      '  <Table name="example" value="$table"/>'
    )
  return (
    f'<View>\n  {shows}\n'
    '  <Choices name="label" toName="example" choice="single-radio" '
    f'showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
  )
