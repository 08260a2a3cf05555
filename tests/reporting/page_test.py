import base64
import csv
import html.parser
import pathlib
import tomllib
import xml.etree.ElementTree

import jinja2
import pytest

from al_jax.reporting import page
from al_jax.reporting.columns import Column
from al_jax.reporting.page import (
  Explanation,
  Image,
  Listing,
  Picture,
  Section,
  Table,
  Text,
)

VOID = {'meta', 'img', 'br', 'link'}


class Checker(html.parser.HTMLParser):
  """Reads a page: every element must be closed, in order."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.text = [], [], []
    self.feed(text)
    assert not self.open, self.open

  def handle_starttag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)

  def all(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]


def written(tmp_path, *parts, title='A <title> & more', sections=()):
  path = tmp_path / 'report.html'
  page.write(path, title, parts, sections)
  return Checker(path.read_text(encoding='utf-8'))


def an_svg(path):
  path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def files_of(tmp_path):
  return sorted(path.name for path in (tmp_path / 'report').iterdir())


def test_what_is_said_is_escaped(tmp_path):
  found = written(
    tmp_path,
    Text('x < y', 'warning'),
    Text('--a="1" <file>', 'code'),
    Listing([('d&d', '<i>')]),
    Table([Column('<u>', 'a')], [{'a': '<s> & more'}]),
    sections=[Section('<b> & "c"', [Text('<em>', 'heading')])],
  )
  shown = ''.join(found.text)
  for text in ('A <title> & more', '<b> & "c"', 'x < y', '<file>', '<i>'):
    assert text in shown
  for text in ('<u>', '<s> & more', '<em>'):
    assert text in shown
  for tag in ('b', 'i', 'u', 's', 'em'):
    assert not found.all(tag)
  assert {'class': 'warning'} in found.all('p')


def test_the_contents_lead_to_the_sections(tmp_path):
  parts = [Text('a part', 'heading')]
  sections = [Section(title, parts) for title in ('one', 'two', 'one')]
  found = written(tmp_path, sections=sections)
  anchors = [attributes['id'] for attributes in found.all('h2')]
  links = [attributes['href'] for attributes in found.all('a')]
  assert len(set(anchors)) == 3
  assert links == [f'#{anchor}' for anchor in anchors]


def test_a_table_has_its_cells_and_its_csv(tmp_path):
  columns = [
    Column('system', 'system'),
    Column('accuracy', 'accuracy', '{:.0%}'.format, bold=lambda row: True),
  ]
  rows = [{'system': 'a', 'accuracy': 1 / 3}, {'system': 'b', 'extra': 2}]
  found = written(tmp_path, Table(columns, rows, 'numbers'))
  assert [tag for tag, _ in found.tags if tag in ('tr', 'th', 'td', 'b')] == (
    ['tr', 'th', 'th', 'tr', 'th', 'td', 'b', 'tr', 'th', 'td']
  )
  shown = ' '.join(''.join(found.text).split())
  assert 'system accuracy a 33% b -' in shown
  looks = [attributes['class'] for attributes in found.all('td')]
  assert looks == ['number', 'number']
  assert {'href': 'report/numbers.csv', 'class': 'data'} in found.all('a')
  with open(tmp_path / 'report' / 'numbers.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert rows == [
    {'system': 'a', 'accuracy': repr(1 / 3), 'extra': ''},
    {'system': 'b', 'accuracy': '', 'extra': '2'},
  ]


def test_pictures_are_in_the_page(tmp_path):
  png = tmp_path / 'there.png'
  png.write_bytes(b'not really')
  found = written(
    tmp_path,
    Picture('drawn', an_svg, [{'x': 1}], 'a "caption"', is_large=True),
    Image(png, 'another'),
  )
  svg, image = found.all('img')
  assert svg['alt'] == 'a "caption"'
  kind, _, coded = svg['src'].partition(';base64,')
  assert kind == 'data:image/svg+xml'
  xml.etree.ElementTree.fromstring(base64.b64decode(coded))
  assert image['src'].startswith('data:image/png;base64,')
  assert files_of(tmp_path) == ['drawn.csv', 'drawn.svg']


def test_what_an_earlier_page_had_is_taken_away_and_nothing_else(tmp_path):
  (tmp_path / 'report').mkdir()
  for name in ('old.csv', 'old.svg', 'notes.txt'):
    (tmp_path / 'report' / name).write_text('')
  written(tmp_path, Table([Column('a', 'a')], [{'a': 1}], 'new'))
  assert files_of(tmp_path) == ['new.csv', 'notes.txt']


def test_the_page_is_for_phones_and_printers(tmp_path):
  written(tmp_path)
  text = (tmp_path / 'report.html').read_text()
  assert 'width=device-width' in text
  assert '@media print' in text


def test_the_template_is_data_of_the_package():
  root = pathlib.Path(page.__file__).parents[2]
  about = tomllib.loads((root / 'pyproject.toml').read_text())
  patterns = about['tool']['setuptools']['package-data']['al_jax']
  found = {
    path for pattern in patterns for path in root.glob(f'al_jax/{pattern}')
  }
  assert root / 'al_jax/reporting/page.html.j2' in found


def test_explanations_are_words_of_the_template(tmp_path):
  found = written(tmp_path, Explanation('errors', 'chance'))
  assert 'Mean error divided by that of chance' in ''.join(found.text)
  with pytest.raises(jinja2.UndefinedError, match='nothing'):
    written(tmp_path, Explanation('nothing'))
