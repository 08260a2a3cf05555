"""A batch of queries as files to label in: CSV, JSONL, and Label Studio."""

import base64
import csv
import html
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from al_jax import files
from al_jax.labelling import answers, project
from al_jax.labelling.account import Query
from al_jax.labelling.showing import Shown

# Columns of the CSV, before those of the example itself.
_COLUMNS = ('id', 'label', 'predicted', 'probability', 'value')


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


def check(out: pathlib.Path, folder: pathlib.Path) -> None:
  """Refuses to write where somebody's work, or something else, would be lost.

  Args:
    out: path of the CSV.
    folder: of the project; it may not have begun.

  Raises:
    ValueError: the files cannot be there, or are no batch of this project, or
      have labels that were not told yet.
  """
  if out.suffix.lower() != '.csv':
    raise ValueError(f'--out is {out}; it must end in .csv.')
  if not out.parent.is_dir():
    raise ValueError(f'--out is {out}; there is no folder {out.parent}.')
  if out.parent.resolve() == folder.resolve():
    raise ValueError(
      f'--out is {out}, in the folder of the project, which has files of its '
      'own; name another folder.'
    )
  there = [path for path in paths(out).values() if path.exists()]
  if there and not out.is_file():
    raise ValueError(f'{there[0]} exists, and is of no batch; set --out.')
  if there:
    _refuse_labels(out, folder)


def _refuse_labels(out, folder):
  """Refuses a CSV that is no batch of the project, or has untold labels."""
  now = project.of(folder) if project.has_begun(folder) else None
  try:
    rows = [row for _, row in answers.table(out)]
    is_batch = all(set(_COLUMNS) <= set(row) for row in rows) and bool(rows)
  except ValueError:
    is_batch = False
  if (
    not is_batch or now is None or not {r['id'] for r in rows} <= set(now.asked)
  ):
    raise ValueError(
      f'{out} exists, and is no batch of the project in {folder}: it is not '
      'overwritten; set --out to another file.'
    )
  untold = [
    row['id'] for row in rows if row['label'] and row['id'] not in now.answers
  ]
  if untold:
    raise ValueError(
      f'{out} has {len(untold)} labels that were not told: tell them first '
      f'(al-jax label tell --state={folder} {out}), or set --out to another '
      'file.'
    )


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
  rows = shown.described(positions)
  _write_csv(where['csv'], queries, rows)
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


def _write_csv(path, queries, rows):
  """A row for each query: what is asked, and what is known of the example."""
  columns = list(rows[0]) if rows else []
  with (
    files.replacing(path) as partial,
    partial.open('w', newline='', encoding='utf-8') as file,
  ):
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow((*_COLUMNS, *(_renamed(name) for name in columns)))
    for query, row in zip(queries, rows, strict=True):
      numbers = [
        '' if number is None else f'{number:.4g}'
        for number in (query.probability, query.value)
      ]
      asked = query.id, '', query.predicted or '', *numbers
      writer.writerow((*asked, *(row[name] for name in columns)))


def _renamed(name):
  """A column of a table, under a name that no column of ours has."""
  return f'{name} of the pool' if name in _COLUMNS else name


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
