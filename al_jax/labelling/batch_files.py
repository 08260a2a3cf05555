"""A batch of queries as files to label in: CSV, JSONL, and Label Studio."""

import base64
import csv
import html
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from al_jax import files
from al_jax.data import Dataset

# The longest side of a picture in a task of Label Studio, in pixels.
_LONGEST_SIDE = 512
# Columns of a table that a task of Label Studio shows.
_MOST_COLUMNS = 30


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
  dataset: Dataset,
  positions: Sequence[int],
) -> list[pathlib.Path]:
  """Writes a batch in all forms.

  Args:
    out: path of the CSV.
    queries: in order of choice.
    dataset: the pool.
    positions: of the queries in the pool.

  Returns:
    The paths that were written.
  """
  where = paths(out)
  _write_csv(where['csv'], queries)
  with files.replacing(where['jsonl']) as partial:
    lines = [json.dumps(_row(query)) + '\n' for query in queries]
    partial.write_text(''.join(lines), encoding='utf-8')
  tasks = _tasks(queries, dataset, positions)
  with files.replacing(where['tasks']) as partial:
    partial.write_text(json.dumps(tasks), encoding='utf-8')
  with files.replacing(where['interface']) as partial:
    partial.write_text(interface(dataset), encoding='utf-8')
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


def _tasks(queries, dataset, positions):
  """Tasks of Label Studio, which begin with the predictions."""
  shown = _shown(dataset, positions)
  tasks = []
  for query, data in zip(queries, shown, strict=True):
    # Label Studio has an id of its own for each task.
    task: dict[str, Any] = {'data': {'id_of_example': query.id, **data}}
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


def _shown(dataset, positions) -> list[Mapping[str, Any]]:
  """What a task shows of each example."""
  if dataset.has_pictures:
    pictures = dataset.pictures_at(np.asarray(positions, int))
    return [{'image': _as_address(picture)} for picture in pictures]
  names = [f'column {at}' for at in range(dataset.train.inputs.shape[1])]
  return [
    {
      'table': {
        name: f'{value:.6g}'
        for name, value in list(zip(names, row, strict=True))[:_MOST_COLUMNS]
      }
    }
    for row in np.asarray(dataset.train.inputs[np.asarray(positions, int)])
  ]


def _as_address(picture) -> str:
  """A picture as an address that has it inside, so that none is fetched."""
  return 'data:image/png;base64,' + base64.b64encode(as_png(picture)).decode()


def as_png(picture: np.ndarray, *, least_side: int = 0) -> bytes:
  """A picture of the pool as a PNG file.

  Args:
    picture: uint8, or floats from 0 to 1, [height, width, channels].
    least_side: smaller pictures are enlarged, a pixel to a square.

  Returns:
    The content of the file.
  """
  from PIL import Image

  if picture.dtype != np.uint8:
    picture = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
  if picture.shape[-1] == 1:
    picture = picture[..., 0]
  times = -(-least_side // max(picture.shape[:2])) if least_side else 1
  picture = picture.repeat(max(times, 1), axis=0).repeat(max(times, 1), axis=1)
  image = Image.fromarray(picture)
  image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
  content = io.BytesIO()
  image.save(content, format='png')
  return content.getvalue()


def interface(dataset: Dataset) -> str:
  """The labelling interface of a project in Label Studio, as XML.

  Args:
    dataset: the pool.
  """
  choices = '\n'.join(
    f'    <Choice value="{html.escape(name, quote=True)}"/>'
    for name in dataset.task.class_names
  )
  shows = '<Image name="example" value="$image"/>'
  if not dataset.has_pictures:
    shows = '<Table name="example" value="$table"/>'
  return (
    f'<View>\n  {shows}\n'
    '  <Choices name="label" toName="example" choice="single-radio" '
    f'showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
  )
