"""Writes a batch of queries to files to fill in: CSV, JSONL, Label Studio."""

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
  """Returns the paths of the files of a batch, by kind.

  Args:
    out: Path of the CSV; the other files lie beside it.
  """
  return {
    'csv': out,
    'jsonl': out.with_suffix('.jsonl'),
    'tasks': out.with_name(f'{out.stem}_label_studio.json'),
    'interface': out.with_name(f'{out.stem}_label_studio.xml'),
  }


def check(out: pathlib.Path, folder: pathlib.Path) -> None:
  """Checks that writing a batch overwrites no labels and no other files.

  Args:
    out: Path of the CSV.
    folder: Folder of the project, which may not have begun.

  Raises:
    ValueError: If files cannot be written there, or exist and are not a batch
      of this project, or hold labels that are not recorded yet.
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
    raise ValueError(
      f'{there[0]} exists without the CSV of its batch; set --out.'
    )
  if there:
    _refuse_labels(out, folder)


def _refuse_labels(out, folder):
  """Rejects a CSV that is not of the project or has unrecorded labels."""
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
      f'{out} exists, and is not a batch of the project in {folder}: it is not '
      'overwritten; set --out to another file.'
    )
  untold = [
    row['id'] for row in rows if row['label'] and row['id'] not in now.answers
  ]
  if untold:
    raise ValueError(
      f'{out} has {len(untold)} labels that are not recorded: tell them first '
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
    out: Path of the CSV.
    queries: Queries in the order of selection.
    positions: Pool indices of the queries.
    shown: Pictures and rows of the pool.
    classes: Classes that annotators choose from.

  Returns:
    The paths of the written files.
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
  """Returns a query as a row with an empty label, without unknown fields."""
  known = {
    name: value for name, value in query._asdict().items() if value is not None
  }
  return {'id': known.pop('id'), 'label': None, **known}


def _write_csv(path, queries, rows):
  """Writes a row per query: its own columns, then those of the example."""
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
  """Renames a column of the pool that has the name of one of ours."""
  return f'{name} of the pool' if name in _COLUMNS else name


def _tasks(queries, shown, positions):
  """Builds Label Studio tasks, pre-filled with the predictions."""
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
  """Returns the data of each task: a picture or a row."""
  if shown.has_pictures:
    # Inlined, so that Label Studio has nothing to fetch.
    return [
      {'image': 'data:image/png;base64,' + base64.b64encode(content).decode()}
      for content in shown.pictures(positions)
    ]
  return [{'table': row} for row in shown.rows(positions)]


def _interface(shown, classes):
  """Returns the Label Studio labelling interface of a project, as XML."""
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
