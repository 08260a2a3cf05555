"""One page of HTML that needs nothing else, and the CSV behind what it shows.

The page is plain and light; it is read on a phone and printed. Pictures are
part of it.
"""

import base64
import csv
import html
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from al_jax import files

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; color: #262626;
  background: #fff; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 0.5rem; padding-top: 0.5rem;
  border-top: 2px solid #262626; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.3rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
a { color: #0072b2; }
nav ul { margin: 0.3rem 0; padding-left: 1.2rem; }
pre { background: #f6f6f6; padding: 0.7rem; font-size: 0.8rem;
  line-height: 1.4; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0.6rem 0; }
table { border-collapse: collapse; font-size: 0.85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; }
thead th { border-bottom: 1.5px solid #262626; vertical-align: bottom;
  white-space: normal; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: #fff; font-weight: normal; }
thead th:first-child { font-weight: bold; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem;
  font-size: 0.85rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 0.8rem 0; }
figure img { display: block; height: auto; max-width: 100%; }
.large img { max-width: none; width: 46rem; }
figcaption, .data, .note { color: #555; font-size: 0.85rem; }
.warning { background: #fff4e0; border-left: 4px solid #e69f00;
  padding: 0.5rem 0.8rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, tr { break-inside: avoid; }
  figure img, .large img { width: auto; max-width: min(100%, 13cm);
    max-height: 18cm; }
  .large img { max-height: 11cm; }
  h2, h3 { break-after: avoid; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.1rem 0.4rem; }
  .wide { overflow: visible; }
}
"""
_KINDS = {'.svg': 'image/svg+xml', '.png': 'image/png'}


class Page:
  """Collects what a page says; `write` makes the file.

  Attributes:
    folder: where the CSV and the pictures go.
  """

  def __init__(self, title: str, folder: pathlib.Path):
    self.folder = folder
    self._title = title
    self._parts = []
    self._contents = []
    self._written = set()
    folder.mkdir(parents=True, exist_ok=True)

  def section(self, title: str) -> None:
    """Begins a section, which the table of contents leads to."""
    anchor = f'section-{len(self._contents) + 1}'
    self._contents.append((anchor, title))
    self._parts.append(f'<h2 id="{anchor}">{_text(title)}</h2>')

  def topic(self, title: str) -> None:
    """Begins a part of a section."""
    self._parts.append(f'<h3>{_text(title)}</h3>')

  def facts(self, facts: Sequence[tuple[str, str]]) -> None:
    """Names, and what they were."""
    items = ''.join(
      f'<dt>{_text(name)}</dt><dd>{_text(value)}</dd>' for name, value in facts
    )
    self._parts.append(f'<dl>{items}</dl>')

  def say(self, text: str, *, kind: str | None = None) -> None:
    """A paragraph; `kind` is `'note'` or `'warning'` for its look."""
    look = f' class="{kind}"' if kind else ''
    self._parts.append(f'<p{look}>{_text(text)}</p>')

  def code(self, text: str) -> None:
    """Commands or configurations, as they are."""
    self._parts.append(f'<pre>{_text(text)}</pre>')

  def table(
    self,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    bold: Sequence[tuple[int, int]] = (),
    name: str | None = None,
    data: Sequence[Mapping[str, Any]] = (),
  ) -> None:
    """A table, and a CSV behind it.

    Args:
      header: the columns.
      rows: of cells, as they are to be read; missing last ones are empty.
      bold: the (row, column) of cells that stand out.
      name: of the CSV, without its suffix; None for no CSV.
      data: the rows of the CSV: values by column, in full.
    """
    head = ''.join(f'<th scope="col">{_text(cell)}</th>' for cell in header)
    body = []
    for i, row in enumerate(rows):
      cells = [*row, *[''] * (len(header) - len(row))]
      shown = [
        f'<b>{_text(cell)}</b>' if (i, j) in bold else _text(cell)
        for j, cell in enumerate(cells)
      ]
      first = f'<th scope="row">{shown[0]}</th>'
      others = ''.join(f'<td>{cell}</td>' for cell in shown[1:])
      body.append(f'<tr>{first}{others}</tr>')
    self._parts.append(
      f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
      f'<tbody>{"".join(body)}</tbody></table></div>'
    )
    if name is not None:
      self._parts.append(f'<p class="data">{self._data(name, data)}</p>')

  def picture(
    self,
    name: str,
    draw: Callable[[pathlib.Path], None],
    data: Sequence[Mapping[str, Any]],
    *,
    caption: str,
    large: bool = False,
  ) -> None:
    """A picture, and a CSV behind it.

    Args:
      name: of both files, without their suffixes.
      draw: draws to the path of an SVG.
      data: the rows of the CSV.
      caption: what is to be seen.
      large: whether a small screen shows a part of it, rather than all of it
        too small to be read.
    """
    path = self.folder / f'{name}.svg'
    draw(path)
    self._written.add(path.name)
    link = self._data(name, data)
    self._figure(path, caption, f'{_text(caption)} {link}', large)

  def image(self, path: pathlib.Path, *, caption: str) -> None:
    """A PNG that is there already."""
    self._figure(path, caption, _text(caption), large=True)

  def _figure(self, path, alternative, caption, large) -> None:
    coded = base64.b64encode(path.read_bytes()).decode('ascii')
    kind = _KINDS[path.suffix.lower()]
    self._parts.append(
      f'<figure><div class="wide{" large" if large else ""}">'
      f'<img src="data:{kind};base64,{coded}" '
      f'alt="{_text(alternative)}"></div>'
      f'<figcaption>{caption}</figcaption></figure>'
    )

  def _data(self, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes a CSV, and says in HTML where it is."""
    path = self.folder / f'{name}.csv'
    write_csv(path, rows)
    self._written.add(path.name)
    link = f'{self.folder.name}/{path.name}'
    return f'Data: <a href="{_text(link)}">{_text(link)}</a>'

  def write(self, path: pathlib.Path) -> None:
    """Writes the page, and takes away what an earlier one had in its folder."""
    body = '\n'.join(self._parts)
    text = (
      '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
      '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
      f'<title>{_text(self._title)}</title>\n<style>{_STYLE}</style>\n'
      f'</head>\n<body>\n<h1>{_text(self._title)}</h1>\n'
      f'{self._navigation()}\n{body}\n</body>\n</html>\n'
    )
    with files.replacing(path) as partial:
      partial.write_text(text, encoding='utf-8')
    for old in self.folder.iterdir():
      if old.suffix in ('.csv', '.svg') and old.name not in self._written:
        old.unlink()

  def _navigation(self) -> str:
    items = ''.join(
      f'<li><a href="#{anchor}">{_text(title)}</a></li>'
      for anchor, title in self._contents
    )
    return f'<nav><ul>{items}</ul></nav>'


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes values by column, a line per row; floats are written in full.

  Args:
    path: the file, replaced as a whole.
    rows: a column that only some of them have is empty in the others.
  """
  columns = list(dict.fromkeys(name for row in rows for name in row))
  with (
    files.replacing(path) as partial,
    open(partial, 'w', newline='', encoding='utf-8') as file,
  ):
    writer = csv.DictWriter(file, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)


def _text(text: Any) -> str:
  return html.escape(str(text), quote=True)
