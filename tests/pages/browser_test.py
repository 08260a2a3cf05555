"""The page for watching, in headless Chromium."""

import json
import threading
import time

import pytest

from al_jax.pages import watch_page
from al_jax.pages.query_sheets import Sheet, _png
from al_jax.pages.watching import Watch
from al_jax.storage import records, workdir
from tests.factories import a_record
from tests.pages import browser as browser_lib
from tests.pages import made
from tests.pages.browser import until

HTML = '<img src=x onerror="document.body.innerText=1">'
MEANS = 'document.querySelectorAll("#score path.mean").length'


@pytest.fixture(scope='module')
def browser():
  with browser_lib.opened() as opened:
    yield opened


@pytest.fixture(autouse=True)
def no_complaints(browser):
  """The console has no error, and nothing was refused by the policy."""
  yield
  lines = [line['message'] for line in browser.get_log('browser')]
  # Of servers that have ended.
  assert [line for line in lines if 'ERR_' not in line] == []


def text(browser, name):
  return browser.execute_script(
    f'return document.getElementById("{name}").innerText'
  )


def test_curves_of_all_systems_and_seeds_are_drawn(browser, tmp_path):
  made.a_run(tmp_path, made.the_rows(ledger={'person': 20.0, 'price': 0.8}))
  with made.watching(tmp_path) as page:
    browser.get(page.address)
    assert until(browser, f'{MEANS} === 2')
    assert (
      browser.execute_script('return document.title') == '1 killed - al_jax'
    )
    assert text(browser, 'legend').split('\n') == [
      'random',
      '70.50 %',
      'margin',
      '70.50 %',
    ]
    titles = 'document.querySelectorAll(".chart .title")'
    told = browser.execute_script(
      f'return [...{titles}].map((each) => each.textContent)'
    )
    assert told[:2] == [
      'test accuracy',
      'training loss at the end of a round',
    ]
    assert '20' in text(browser, 'ledger-table')
    assert text(browser, 'runs').count('of 2 systems and 2 seeds') == 1
    assert (
      browser.execute_script('return document.querySelector(".progress").title')
      == '2 systems \u00d7 2 seeds \u00d7 3 rounds = 12 rounds'
    )
    # A line for each seed, on demand.
    thin = 'document.querySelectorAll("#score path.thin").length'
    assert until(browser, f'{thin} === 0')
    browser.execute_script('document.getElementById("seeds").click()')
    assert until(browser, f'{thin} === 4')
    # A system can be hidden.
    browser.execute_script('document.querySelector("#legend button").click()')
    assert until(browser, f'{MEANS} === 1')
    browser.execute_script('document.querySelector("#legend button").click()')
    assert until(browser, f'{MEANS} === 2')


def test_a_new_run_shows_only_what_there_is(browser, tmp_path):
  about = made.an_about(['random'], seeds=1)
  with workdir.Workdir(tmp_path / 'run'):
    made.a_run(tmp_path / 'run', (), about, [made.begin()])
    with made.watching(tmp_path / 'run', tmp_path / 'absent') as page:
      browser.get(page.address)
      assert until(browser, 'document.querySelectorAll(".run").length === 2')
      shown = 'document.querySelectorAll("section:not([hidden])").length'
      assert browser.execute_script(f'return {shown}') == 1
      told = text(browser, 'runs')
      assert 'Curves begin with its first finished round.' in told
      assert 'not begun' in told and 'There is no such folder yet' in told
      when = 'document.querySelector(".when").getClientRects()[0].height'
      assert browser.execute_script(f'return {when}') < 30
      # A loss alone, of a single seed.
      rows = made.the_rows(['random'], seeds=1)
      for row in rows:
        row.test.clear()
      records.write_jsonl(tmp_path / 'run' / 'records.jsonl', rows)
      loss = 'document.querySelectorAll("#loss path.mean").length'
      assert until(browser, f'{loss} === 1')
      assert browser.execute_script(
        'const seeds = document.getElementById("seeds");'
        'return [document.getElementById("score").hidden, seeds.disabled, '
        'seeds.parentElement.title]'
      ) == [True, True, 'This run has only one seed']
      assert 'systems' not in text(browser, 'runs')


def test_ticks_differ_and_shares_end_at_all(browser, tmp_path):
  rows = made.the_rows(['random'])
  for row in rows:
    row.test['accuracy'] = 1.0 - 0.02 * (1 + row.seed) * (row.round == 0)
    row.train['loss'] = 1e-7 * (1 + row.round)
  made.a_run(tmp_path, rows)
  with made.watching(tmp_path) as page:
    browser.get(page.address)
    assert until(browser, f'{MEANS} === 1')
    ticks = {
      name: browser.execute_script(
        f'return [...document.querySelectorAll("#{name} text")]'
        '.filter((each) => each.getAttribute("text-anchor") === "end")'
        '.map((each) => each.textContent)'
      )
      for name in ('score', 'loss')
    }
  assert ticks['score'][-1] == '100 %'
  assert len(set(ticks['loss'])) == len(ticks['loss']) > 2
  assert all(tick.endswith('e\u22127') for tick in ticks['loss'])


def test_pictures_have_a_place_while_they_are_loaded(browser, tmp_path):
  rows = [a_record('random', 0, picks=[1, 2], pick_ids=[1, 2], round=0)]
  made.a_run(tmp_path, rows)
  application = watch_page.application(Watch([tmp_path]))
  slow = _Queries()
  go_on, sheet = threading.Event(), slow.sheet

  def waiting(*arguments):
    go_on.wait(20)
    return sheet(*arguments)

  slow.sheet = waiting
  application.state.queries = slow
  with made.serving(application) as page:
    browser.get(page.address)
    assert until(browser, 'document.querySelectorAll(".blank").length === 2')
    assert 'a few seconds' in text(browser, 'queries-of')
    height = 'document.getElementById("tiles").clientHeight'
    before = browser.execute_script(f'return {height}')
    assert before > 110
    go_on.set()
    assert until(browser, 'document.querySelectorAll(".tile").length === 2')
    assert not browser.execute_script(
      'return document.querySelectorAll(".blank").length'
    )


def test_hovering_shows_values(browser, tmp_path):
  made.a_run(tmp_path, made.the_rows())
  with made.watching(tmp_path) as page:
    browser.get(page.address)
    assert until(browser, f'{MEANS} === 2')
    browser.execute_script(
      'const chart = document.querySelector("#score svg");'
      'const box = chart.getBoundingClientRect();'
      'chart.dispatchEvent(new PointerEvent("pointermove", {'
      'clientX: box.right - 20, clientY: box.top + 50}))'
    )
    told = browser.execute_script(
      'return document.querySelector("#score .tip").innerText'
    )
    assert '30 labels' in told and '70.50 ± 0.50 %' in told


def test_progress_reaches_the_page_within_two_seconds(
  browser, tmp_path, capsys
):
  """From the line of the host's read to the line on the page."""
  with workdir.Workdir(tmp_path):
    made.a_run(tmp_path, made.the_rows()[:1], live=[made.begin()])
    with made.watching(tmp_path) as page:
      browser.get(page.address)
      assert until(browser, f'{MEANS} >= 1')
      dots = 'document.querySelectorAll("#within-loss circle").length'
      seconds = []
      for step in range(1, 6):
        line = json.dumps(made.progress(step, round=1, loss=1 / step))
        begin = time.perf_counter()
        with (tmp_path / 'live.jsonl').open('a') as file:
          file.write(line + '\n')
        assert until(browser, f'{dots} === {step}')
        seconds.append(time.perf_counter() - begin)
      assert text(browser, 'within-title') == 'This round'
      assert 'random, seed 0, 2nd of 3 rounds' in text(browser, 'within-of')
      begin = time.perf_counter()
      records.append_jsonl(tmp_path / 'records.jsonl', made.the_rows()[1])
      assert until(
        browser, 'document.querySelectorAll("#score circle").length === 2'
      )
      record = time.perf_counter() - begin
  with capsys.disabled():
    print(
      f'\nprogress reached the page after {max(seconds):.2f} s at most, a '
      f'record after {record:.2f} s'
    )
  assert max(*seconds, record) < 2


def test_a_run_is_killed_resumed_and_finished_before_our_eyes(
  browser, tmp_path
):
  rows = made.the_rows()
  made.a_run(tmp_path, rows[:3], live=[made.begin()])
  with (tmp_path / 'records.jsonl').open('a') as file:
    file.write(rows[3].to_json()[:50])
  with made.watching(tmp_path) as page:
    browser.get(page.address)
    state = 'document.querySelector(".run .state")?.textContent'
    assert until(browser, f'{state} === "✕ killed"')
    assert 'It was killed, or its machine went down' in text(browser, 'runs')
    assert 'To resume: al-jax run --workdir=here' in text(browser, 'runs')
    with workdir_of_a_run(tmp_path):
      assert until(browser, f'{state} === "● running"')
      # A resumed run writes the file anew.
      records.write_jsonl(tmp_path / 'records.jsonl', rows[:6])
      done = 'document.querySelector(".rounds").textContent'
      assert until(browser, f'{done} === "6 of 12 rounds"')
      garbled = 'garbage\n' + rows[6].to_json() + '\n'
      with (tmp_path / 'records.jsonl').open('a') as file:
        file.write(garbled)
      assert until(browser, f'{done} === "7 of 12 rounds"')
      assert 'cannot be read' in text(browser, 'runs')
      about = made.an_about(finished='2026-01-01T01:00:00+00:00')
      made.a_run(tmp_path, rows, about)
    assert until(browser, f'{state} === "✓ finished"')
    assert text(browser, 'runs').count('cannot be read') == 0
    assert until(browser, f'{done} === "12 rounds"')


def workdir_of_a_run(folder):
  (folder / '.al_jax.json').write_text('{}')
  return workdir.Workdir(folder)


class _Queries:
  """Queries of classes whose names are HTML."""

  def sheet(self, experiment, system, seed):
    import numpy as np

    tile = {
      'label': HTML,
      'predicted': f'{HTML}2',
      'probability': 0.5,
      'value': 'Infinity',
      'marks': [[[0.1, 0.1], [0.9, 0.9]]],
      'true_marks': [[[0.5, 0.5]]],
    }
    facts = {
      'round': 0,
      'labels': 10,
      'asked': 30,
      'score': HTML,
      'width': 8,
      'height': 8,
      'tiles': [tile, {**tile, 'value': 0.123}],
    }
    return Sheet(_png([np.zeros((8, 8, 3), np.uint8)] * 2), facts)


def test_names_with_html_are_only_text(browser, tmp_path):
  folder = tmp_path / 'a<b>c'
  rows = [
    a_record(HTML, 0, picks=[1], pick_ids=[1], ledger={'person': 1.0}, round=0)
  ]
  about = made.an_about([HTML], command=f'al-jax run {HTML}')
  about['data']['name'] = HTML
  made.a_run(folder, rows, about, [made.begin(), made.ended('failed', HTML)])
  (folder / 'pictures').mkdir()
  (folder / 'pictures' / '<b>.png').write_bytes(_png_bytes())
  application = watch_page.application(Watch([folder]))
  application.state.queries = _Queries()
  with made.serving(application) as page:
    browser.get(page.address)
    assert until(browser, 'document.querySelectorAll(".tile").length === 2')
    for name in ('runs', 'legend', 'tiles', 'queries-key', 'ledger-table'):
      assert HTML in text(browser, name), name
    assert f'{HTML}2, 50 %' in text(browser, 'tiles')
    assert '0.12' in text(browser, 'tiles')
    assert 'a<b>c' in text(browser, 'runs')
    assert '<b>' in text(browser, 'sheet-list')
    # The only picture elements are the sheets.
    assert browser.execute_script(
      'return [document.querySelectorAll("img").length, '
      'document.querySelectorAll("b, [onerror]").length]'
    ) == [1, 1]  # b: the value in the legend


def _png_bytes():
  import numpy as np

  return _png([np.zeros((8, 8, 3), np.uint8)])


def test_another_run_is_chosen_by_a_click(browser, tmp_path):
  first = made.a_run(tmp_path / 'first', made.the_rows())
  badge = made.an_about(['badge'])
  second = made.a_run(tmp_path / 'second', made.the_rows(['badge']), badge)
  with made.watching(first, second) as page:
    browser.get(page.address)
    assert until(browser, f'{MEANS} === 2')
    browser.execute_script('document.querySelectorAll(".run")[1].click()')
    assert until(browser, f'{MEANS} === 1')
    assert 'badge' in text(browser, 'legend')
    # It stays chosen when there is news.
    records.append_jsonl(
      first / 'records.jsonl', a_record('random', 0, 40, round=4)
    )
    assert until(
      browser,
      '[...document.querySelectorAll(".rounds")].map((each) => '
      'each.textContent)[0] === "13 of 12 rounds"',
    )
    assert 'badge' in text(browser, 'legend')


def test_a_run_that_ends_stays_on_the_page(browser, tmp_path):
  failed = made.a_run(tmp_path / 'failed', made.the_rows())
  about = made.an_about(['badge'])
  folder = made.a_run(tmp_path / 'run', made.the_rows(['badge']), about)
  with made.watching(failed, folder) as page:
    with workdir_of_a_run(folder):
      browser.get(page.address)
      assert until(browser, f'{MEANS} === 1')
    running = 'document.querySelector(".state.running")'
    assert until(browser, f'!{running}')
    assert 'badge' in text(browser, 'legend')


def test_ten_thousand_records_are_drawn(browser, tmp_path, capsys):
  names = [f'system_{number}' for number in range(10)]
  made.a_run(
    tmp_path,
    made.the_rows(names, seeds=10, rounds=100),
    made.an_about(names, seeds=10, rounds=100),
  )
  with made.watching(tmp_path) as page:
    begin = time.perf_counter()
    browser.get(page.address)
    assert until(browser, f'{MEANS} === 10')
    seconds = time.perf_counter() - begin
    again = browser.execute_script(
      'const begin = performance.now();'
      'document.getElementById("seeds").click();'
      'return new Promise((done) => setTimeout(() =>'
      ' done(performance.now() - begin), 31))'
    )
  with capsys.disabled():
    print(
      f'\n10,000 records: drawn after {seconds:.2f} s, once more with a line '
      f'for each seed in {again:.0f} ms'
    )
