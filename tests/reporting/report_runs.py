"""Workdirs to report, and a reader of the page that comes out."""

import csv
import html.parser
import json

from al_jax.reporting import data as report_data
from al_jax.reporting import page as report_page
from al_jax.storage import records
from tests.factories import a_record

COMMAND = 'python -m experiments.run --workdir=runs/"x" <y>'
SKILL = {'random': 0.0, 'badge': 0.2, 'margin': 0.1}
ABOUT = {
  'finished': '2026-01-01T00:00:10+00:00',
  'started': '2026-01-01T00:00:00+00:00',
  'command': COMMAND,
  'config': {'seeds': 3, 'first_seed': 0, 'model': 'mlp'},
  'systems': list(SKILL),
  'versions': {'jax': '0.0.1'},
  'device': {'platform': 'cpu', 'kind': 'cpu', 'count': 1},
  'git': {'commit': 'abc123', 'dirty': True},
}


def some_rows(*, scale=1.0, systems=SKILL, seeds=3, **changes):
  """Rounds of 10 labels; the systems differ from the second round on."""
  return [
    a_record(
      system,
      seed,
      10 * count,
      1 - scale / (1 + count * (1 + SKILL[system])) - seed / 100,
      seconds_select=SKILL[system],
      seconds_fit=1.0,
      picks=[] if count == 5 else [1],
      pick_ids=[] if count == 5 else [1],
      **changes,
    )
    for system in systems
    for seed in range(seeds)
    for count in range(1, 6)
  ]


def a_workdir(path, rows, **changes):
  path.mkdir(parents=True)
  records.write_jsonl(path / 'records.jsonl', rows)
  (path / 'manifest.json').write_text(json.dumps({**ABOUT, **changes}))
  return path


def an_experiment(path, rows, **changes):
  (found,) = report_data.read_workdir(a_workdir(path, rows, **changes))
  return found


def a_page(folder, sections):
  """Writes a page of sections, and reads it."""
  report_page.write(folder / 'report.html', 'a', [], sections)
  return Reader(folder / 'report.html')


class Reader(html.parser.HTMLParser):
  """The text, links, pictures and tables of a page."""

  def __init__(self, path):
    super().__init__()
    self.text, self.links, self.pictures, self.ids = [], [], [], set()
    self.rows, self.in_cell = [], False
    self.feed(path.read_text(encoding='utf-8'))

  def handle_starttag(self, tag, attributes):
    attributes = dict(attributes)
    self.ids.add(attributes.get('id'))
    if tag == 'a':
      self.links.append(attributes['href'])
    if tag == 'tr':
      self.rows.append([])
    if tag in ('th', 'td'):
      self.rows[-1].append('')
      self.in_cell = True
    if tag == 'img':
      self.pictures.append(attributes['src'])

  def handle_endtag(self, tag):
    if tag in ('th', 'td'):
      self.in_cell = False

  def handle_data(self, data):
    self.text.append(data)
    if self.in_cell:
      self.rows[-1][-1] += data

  def says(self, text):
    return text in ''.join(self.text)


def rows_of(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))
