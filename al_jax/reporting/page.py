"""Writes a report: one HTML page, and a folder with the numbers behind it.

The other modules build plain data: sections of texts, tables and pictures.
`page.html.j2` defines their layout.
"""

import base64
import csv
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from al_jax import files
from al_jax.reporting.columns import Column
from al_jax.reporting.data import ExperimentResults

_FOLDER = 'report'
_KINDS = {'.svg': 'image/svg+xml', '.png': 'image/png'}


class Text(NamedTuple):
  """A heading, a paragraph, or code.

  Attributes:
    text: the text.
    kind: `conclusion`, `warning`, `note`, `heading` or `code`.
  """

  text: str
  kind: str


class Explanation(NamedTuple):
  """Explanation of a table or picture; `page.html.j2` has the text.

  Attributes:
    name: name of the explanation.
    value: a value that its text mentions, if any.
  """

  name: str
  value: Any = None
  kind = 'explanation'


class Listing(NamedTuple):
  """A list of names and their values."""

  facts: Sequence[tuple[str, str]]
  kind = 'facts'


class Table(NamedTuple):
  """A table, and a CSV with all values of its rows.

  Attributes:
    columns: columns on the page.
    rows: values by key; the CSV has all of them, unrounded.
    name: stem of the CSV. If None, no CSV is written.
  """

  columns: Sequence[Column]
  rows: Sequence[Mapping[str, Any]]
  name: str | None = None
  kind = 'table'


class Picture(NamedTuple):
  """A drawing, and a CSV with its numbers.

  Attributes:
    name: stem of both files.
    draw: function that draws to the path of an SVG.
    rows: rows of the CSV.
    caption: caption below the picture.
    is_large: whether a small screen scrolls over it instead of shrinking it.
  """

  name: str
  draw: Callable[[pathlib.Path], None]
  rows: Sequence[Mapping[str, Any]]
  caption: str
  is_large: bool = False
  kind = 'picture'


class Image(NamedTuple):
  """An existing picture file and its caption."""

  path: pathlib.Path
  caption: str
  kind = 'image'


Part = Text | Explanation | Listing | Table | Picture | Image


class Section(NamedTuple):
  """A titled part of the page, listed in its contents."""

  title: str
  parts: Sequence[Part]


def picture_of(
  experiment: ExperimentResults,
  name: str,
  draw: Callable[..., None],
  *drawn: Any,
  rows: Sequence[Mapping[str, Any]],
  caption: str,
  **options: Any,
) -> Picture:
  """Makes a picture of one experiment, titled with the experiment's title.

  Args:
    experiment: the results.
    name: suffix of the names of the files.
    draw: a function of `plotting`.
    *drawn: arguments of `draw` before the path.
    rows: rows of the CSV.
    caption: caption below the picture.
    **options: keyword arguments of `draw`.

  Returns:
    The picture.
  """
  options['title'] = experiment.title
  return Picture(
    f'{experiment.slug}_{name}',
    lambda path: draw(*drawn, path, **options),
    rows,
    caption,
  )


def write(
  path: pathlib.Path,
  title: str,
  head: Sequence[Part],
  sections: Sequence[Section],
) -> None:
  """Writes the page, and the folder `report` beside it.

  Args:
    path: path of the page. An existing page is replaced as a whole, and so are
      the CSV files and drawings in the folder.
    title: title of the page.
    head: parts above the table of contents.
    sections: sections below it, in order.
  """
  folder = path.parent / _FOLDER
  folder.mkdir(parents=True, exist_ok=True)
  parts = [*head, *(part for section in sections for part in section.parts)]
  written = set(_write_files(folder, parts))
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  text = environment.get_template('page.html.j2').render(
    title=title,
    head=head,
    sections=sections,
    folder=folder,
    data_uri=_data_uri,
  )
  with files.replacing(path) as partial:
    partial.write_text(text, encoding='utf-8')
  for old in folder.iterdir():
    if old.suffix in ('.csv', '.svg') and old not in written:
      old.unlink()


def _write_files(
  folder: pathlib.Path, parts: Sequence[Part]
) -> Iterator[pathlib.Path]:
  """Writes the drawings and CSV files of parts, and yields their paths."""
  for part in parts:
    if isinstance(part, Picture):
      yield folder / f'{part.name}.svg'
      part.draw(folder / f'{part.name}.svg')
    if isinstance(part, Table | Picture) and part.name is not None:
      yield folder / f'{part.name}.csv'
      write_csv(folder / f'{part.name}.csv', part.rows)


def _data_uri(path: pathlib.Path) -> str:
  coded = base64.b64encode(path.read_bytes()).decode('ascii')
  return f'data:{_KINDS[path.suffix.lower()]};base64,{coded}'


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes a line per row, with unrounded floats.

  Args:
    path: path of the file, which is replaced as a whole.
    rows: values by column; missing values are left empty.
  """
  columns = list(dict.fromkeys(name for row in rows for name in row))
  with (
    files.replacing(path) as partial,
    open(partial, 'w', newline='', encoding='utf-8') as file,
  ):
    writer = csv.DictWriter(file, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)


def slug(name: str) -> str:
  """Replaces all but letters and digits, for the name of a file."""
  return ''.join(letter if letter.isalnum() else '_' for letter in name)
