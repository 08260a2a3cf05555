// The page for watching runs. Names come from untrusted files, so they are
// inserted as text, never as HTML.

import {Chart, svg} from '/static/chart.js';
import {
  SCORE, LOSS, counted, curves, ordinal, styleOf, underWay,
} from '/static/curves.js';
import {showQueries, showSheets, showLedger} from '/static/details.js';

const STATES = {
  running: ['●', 'running'], finished: ['✓', 'finished'],
  failed: ['✕', 'failed'], stopped: ['‖', 'stopped'],
  killed: ['✕', 'killed'], waiting: ['–', 'not begun'],
};
const ORDER = ['running', 'failed', 'killed', 'stopped', 'finished', 'waiting'];

const at = (id) => document.getElementById(id);
const dark = matchMedia('(prefers-color-scheme: dark)');

const state = {
  colours: [], cells: [], chosen: null, shown: null, hidden: new Set(),
  due: false,
  records: new Map(), progress: new Map(), details: new Map(),
  // Number of events of records; curves are redrawn only when it changes.
  version: 0, drawn: '',
};
const charts = {
  score: new Chart(at('score'), 'labels'),
  loss: new Chart(at('loss'), 'labels'),
  withinLoss: new Chart(at('within-loss'), 'training steps of this round', 0),
  within: new Chart(
    at('within-watched'), 'training steps of this round', 0),
};

/** Makes an element with a class and a text. */
function make(name, className = '', text = '') {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Spells a number of seconds, such as `2 h 10 min`. */
function duration(seconds) {
  if (seconds < 60) return 'less than 1 min';
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

function whenOf(cell) {
  if (cell.state === 'running') {
    return cell.left === null ? 'time left not known yet'
      : `about ${duration(cell.left)} left`.replace('about less', 'less');
  }
  if (cell.finished) {
    return new Date(cell.finished).toLocaleString(
      'en-GB', {dateStyle: 'medium', timeStyle: 'short'});
  }
  return '';
}

/**
 * Returns the experiment to show: the selected one, or a running one, which
 * stays after its end until another one runs.
 */
function current() {
  const numbered = (number) =>
    state.cells.find((cell) => cell.number === number);
  if (numbered(state.chosen)) return numbered(state.chosen);
  const isRunning = (cell) => cell.state === 'running';
  const shown = numbered(state.shown);
  if (shown && (isRunning(shown) || !state.cells.some(isRunning))) return shown;
  const rank = (cell) => ORDER.indexOf(cell.state);
  return [...state.cells].sort((one, other) => rank(one) - rank(other))[0];
}

/** Shows the number of finished rounds, systems and seeds. */
function showProgress(progress, cell) {
  const bar = make('div', `bar state ${cell.state}`);
  const fill = make('i');
  const over = cell.state === 'finished';
  const share = over ? 1 : cell.total ? Math.min(1, cell.done / cell.total) : 0;
  fill.style.width = `${100 * share}%`;
  bar.append(fill);
  const told = over || cell.total === null ? counted(cell.done, 'round')
    : `${cell.done.toLocaleString('en')} of ${counted(cell.total, 'round')}`;
  progress.append(bar, make('span', 'rounds', told));
  if (cell.total === null || cell.total === cell.rounds) return;
  const systems = counted(cell.systems.length, 'system');
  const seeds = counted(cell.seeds, 'seed');
  progress.append(make('span', 'parts quiet', `of ${systems} and ${seeds}`));
  const rounds = counted(cell.rounds, 'round');
  progress.title =
    `${systems} × ${seeds} × ${rounds} = ${counted(cell.total, 'round')}`;
}

/** Explains why a run ended early, and how to resume it. */
function tellOfEnd(says, cell) {
  if (cell.message) says.append(make('p', 'bad', cell.message));
  const {state, command} = cell;
  if (state === 'killed') {
    says.append(make('p', '', 'It was killed, or its machine went down; '
      + 'finished rounds are kept.'));
  }
  if (!['killed', 'stopped', 'failed'].includes(state)) return;
  const resume = make('p', '', 'To resume: ');
  if (command) resume.append(make('code', '', command));
  else resume.append('repeat the command that began it.');
  says.append(resume);
}

function card(cell, isCurrent) {
  const only = state.cells.length === 1;
  const [sign, word] = STATES[cell.state];
  const button = make('button', only ? 'run only' : 'run');
  button.type = 'button';
  button.dataset.number = cell.number;
  button.setAttribute('aria-pressed', isCurrent);
  const badge = make('span', `state ${cell.state}`, `${sign} ${word}`);
  const name = make('span', 'name', cell.title);
  if (cell.data) name.append(make('span', 'quiet', `  ${cell.data}`));
  const progress = make('span', 'progress');
  if (cell.state !== 'waiting') showProgress(progress, cell);
  button.append(badge, name, progress, make('span', 'when', whenOf(cell)));
  const says = make('span', 'says');
  tellOfEnd(says, cell);
  if (cell.state === 'running' && !cell.done) {
    says.append(make('p', '', 'Curves begin with its first finished round.'));
  }
  for (const note of cell.notes) says.append(make('p', 'note', note));
  if (says.childNodes.length) button.append(says);
  return button;
}

function drawRuns(shown) {
  const focus = document.activeElement?.dataset?.number;
  at('runs').replaceChildren(...state.cells.map((cell) => {
    const item = make('li');
    item.append(card(cell, shown === cell));
    return item;
  }));
  if (focus !== undefined) {
    at('runs').querySelector(`[data-number="${Number(focus)}"]`)?.focus();
  }
  const counts = ORDER.map((name) => [name, state.cells.filter(
    (cell) => cell.state === name).length]).filter(([, count]) => count);
  const told = counts.map(([name, count]) => `${count} ${STATES[name][1]}`);
  const n = state.cells.length;
  at('summary').textContent =
    `Watching ${n} ${n === 1 ? 'run' : 'runs'}: ${told.join(', ')}`;
  document.title = `${told.join(', ')} - al_jax`;
}

function styled(cell) {
  return cell.systems.map((system) => ({
    name: system.short, ...styleOf(system, state.colours, dark.matches)}));
}

function hiddenKey(cell, at) {
  return `${cell.number}|${cell.systems[at].name}`;
}

function drawLegend(cell, styles, scores) {
  at('legend').replaceChildren(...styles.map((style, number) => {
    const item = make('li'), button = make('button');
    button.type = 'button';
    const key = hiddenKey(cell, number);
    button.setAttribute('aria-pressed', !state.hidden.has(key));
    button.title = 'Shows or hides this system';
    const line = svg('svg', {viewBox: '0 0 22 8'});
    line.append(svg('line', {
      x1: 0, x2: 22, y1: 4, y2: 4, stroke: style.colour, 'stroke-width': 3,
      'stroke-dasharray': style.dash || 'none'}));
    button.append(line, make('span', '', style.name));
    const last = scores[number].points.at(-1);
    if (last) {
      button.append(make('b', '', charts.score.value(last[1])
        + (cell.unit ? ` ${cell.unit}` : '')));
    }
    button.addEventListener('click', () => {
      if (!state.hidden.delete(key)) state.hidden.add(key);
      soon();
    });
    item.append(button);
    return item;
  }));
}

/** Disables lines per seed for a single seed, whose line is the mean. */
function offerSeeds(cell, most) {
  at('seeds').disabled = most < 2;
  at('seeds').parentElement.title = most > 1 ? ''
    : cell.seeds === 1 ? 'This run has only one seed'
      : 'Only one seed has results so far';
}

function drawCurves(cell) {
  const seeds = at('seeds').checked;
  const key = JSON.stringify([
    cell.number, cell.state, cell.systems, cell.score, state.version,
    [...state.hidden], seeds, dark.matches]);
  if (key === state.drawn) return;
  state.drawn = key;
  const rows = [...(state.records.get(cell.number) || new Map()).values()];
  const styles = styled(cell);
  const found = [SCORE, LOSS].map((column) =>
    curves(rows, column, styles.length));
  const isKnown = found.map((each) => each.some(({points}) => points.length));
  at('curves').hidden = !isKnown.includes(true);
  at('score').hidden = !isKnown[0];
  at('loss').hidden = !isKnown[1];
  const lines = found.map((each) => each.map((curve, number) => ({
    ...styles[number], points: curve.points, thin: seeds ? curve.thin : []}))
    .filter(({points}, number) => points.length
      && !state.hidden.has(hiddenKey(cell, number))));
  const percent = cell.unit === '%';
  // The ticks of shares show the unit.
  const unit = cell.unit && !percent ? `, ${cell.unit}` : '';
  charts.score.draw(lines[0], `${cell.score}${unit}`, percent);
  charts.loss.draw(lines[1], 'training loss at the end of a round');
  drawLegend(cell, styles, found[0]);
  const most = Math.max(0, ...found[0].map((curve) => curve.thin.length));
  offerSeeds(cell, most);
  at('curves-of').textContent = most > 1
    ? `means over up to ${most} seeds, in bands of ± one standard error` : '';
}

function drawWithin(cell) {
  const progress = state.progress.get(cell.number) || [];
  const records = state.records.get(cell.number) || new Map();
  const {rows, isOver} = underWay(progress, records);
  // A short finished round has a single point, which is not worth a chart.
  const isEmpty = isOver
    ? !rows.some((run) => run.length > 1) : !rows.length;
  at('within').hidden = isEmpty;
  if (isEmpty) return;
  const styles = styled(cell);
  const lines = (column) => rows.map((run) => ({
    ...styles[run[0][0]],
    name: `${styles[run[0][0]].name}, seed ${run[0][1]}`,
    points: run.filter((row) => row[column] !== null)
      .map((row) => [row[4], row[column]]),
  }));
  const isKnown = (column) =>
    rows.some((run) => run.some((row) => row[column] !== null));
  at('within-loss').hidden = !isKnown(6);
  charts.withinLoss.draw(lines(6), 'training loss');
  at('within-watched').hidden = !cell.watched || !isKnown(7);
  charts.within.draw(
    lines(7), `training ${cell.watched}`, cell.watched_unit === '%');
  at('within-title').textContent =
    isOver || cell.state !== 'running' ? 'Last round seen' : 'This round';
  const [system, seed, round, labels] = rows[0][0];
  at('within-of').textContent = rows.length > 1
    ? `${rows.length} seeds under way`
    : `${styles[system].name}, seed ${seed}, ${ordinal(round)} `
      + (cell.rounds ? `of ${counted(cell.rounds, 'round')}` : 'round')
      + `, on ${counted(labels, 'label')}`;
}

function draw() {
  state.due = false;
  const cell = current();
  if (!cell || !state.colours.length) return;
  state.shown = cell.number;
  drawRuns(cell);
  drawCurves(cell);
  drawWithin(cell);
  const details = state.details.get(cell.number);
  showQueries(cell, details, styled(cell));
  showSheets(cell, details);
  showLedger(details);
}

/** Schedules a redraw, one for all events until then. */
function soon() {
  if (state.due) return;
  state.due = true;
  // Not requestAnimationFrame: on a hidden page, work would pile up.
  setTimeout(draw, 30);
}

function listen() {
  const source = new EventSource('/events');
  const on = (name, take) => source.addEventListener(name, (event) => {
    take(JSON.parse(event.data));
    soon();
  });
  on('look', ({colours}) => { state.colours = colours; });
  on('cells', ({cells}) => { state.cells = cells; });
  on('records', ({cell, anew, rows}) => {
    if (anew || !state.records.has(cell)) state.records.set(cell, new Map());
    const known = state.records.get(cell);
    for (const row of rows) known.set(row.slice(0, 3).join('|'), row);
    state.version++;
  });
  on('progress', ({cell, anew, rows}) => {
    const before = anew ? [] : state.progress.get(cell) || [];
    state.progress.set(cell, before.concat(rows).slice(-8000));
  });
  on('details', (details) => { state.details.set(details.cell, details); });
  source.onopen = () => { at('connection').textContent = 'live'; };
  source.onerror = () => {
    at('connection').textContent = 'no connection: is al-jax watch running?';
  };
}

at('runs').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  state.chosen = Number(button.dataset.number);
  soon();
});
at('seeds').addEventListener('change', soon);
dark.addEventListener('change', soon);
listen();
