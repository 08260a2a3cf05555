import base64
import csv
import html.parser
import xml.etree.ElementTree

import pytest

from al_jax.reporting import page as report_page

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


@pytest.fixture
def page(tmp_path):
  return report_page.Page('A <title> & more', tmp_path / 'report')


def written(page):
  path = page.folder.parent / 'report.html'
  page.write(path)
  return Checker(path.read_text(encoding='utf-8'))


def an_svg(path):
  path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def test_what_is_said_is_escaped(page):
  page.section('<b> & "c"')
  page.say('x < y', kind='warning')
  page.code('--a="1" <file>')
  page.facts([('d&d', '<i>')])
  found = written(page)
  shown = ''.join(found.text)
  for text in ('A <title> & more', '<b> & "c"', 'x < y', '<file>', '<i>'):
    assert text in shown
  assert not found.all('b') and not found.all('i')
  assert {'class': 'warning'} in found.all('p')


def test_the_contents_lead_to_the_sections(page):
  for title in ('one', 'two', 'one'):
    page.section(title)
    page.topic('a part')
  found = written(page)
  anchors = [attributes['id'] for attributes in found.all('h2')]
  links = [attributes['href'] for attributes in found.all('a')]
  assert len(set(anchors)) == 3
  assert links == [f'#{anchor}' for anchor in anchors]


def test_a_table_has_its_cells_and_its_csv(page):
  page.table(
    ['system', 'accuracy'],
    [['a', '1'], ['b']],
    bold=[(0, 1)],
    name='numbers',
    data=[{'system': 'a', 'accuracy': 1 / 3}, {'system': 'b', 'extra': 2}],
  )
  found = written(page)
  assert [tag for tag, _ in found.tags if tag in ('tr', 'th', 'td', 'b')] == (
    ['tr', 'th', 'th', 'tr', 'th', 'td', 'b', 'tr', 'th', 'td']
  )
  assert {'href': 'report/numbers.csv'} in found.all('a')
  with open(page.folder / 'numbers.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert rows == [
    {'system': 'a', 'accuracy': repr(1 / 3), 'extra': ''},
    {'system': 'b', 'accuracy': '', 'extra': '2'},
  ]


def test_pictures_are_in_the_page(page, tmp_path):
  page.picture('drawn', an_svg, [{'x': 1}], caption='a "caption"', large=True)
  png = tmp_path / 'there.png'
  png.write_bytes(b'not really')
  page.image(png, caption='another')
  svg, image = written(page).all('img')
  assert svg['alt'] == 'a "caption"'
  kind, _, coded = svg['src'].partition(';base64,')
  assert kind == 'data:image/svg+xml'
  xml.etree.ElementTree.fromstring(base64.b64decode(coded))
  assert image['src'].startswith('data:image/png;base64,')
  assert sorted(path.name for path in page.folder.iterdir()) == [
    'drawn.csv',
    'drawn.svg',
  ]


def test_what_an_earlier_page_had_is_taken_away_and_nothing_else(page):
  for name in ('old.csv', 'old.svg', 'notes.txt'):
    (page.folder / name).write_text('')
  page.table(['a'], [['1']], name='new', data=[{'a': 1}])
  written(page)
  assert sorted(path.name for path in page.folder.iterdir()) == [
    'new.csv',
    'notes.txt',
  ]


def test_the_page_is_for_phones_and_printers(page):
  written(page)
  text = (page.folder.parent / 'report.html').read_text()
  assert 'width=device-width' in text
  assert '@media print' in text
