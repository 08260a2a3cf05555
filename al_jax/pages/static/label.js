// The page for labelling. Names come from untrusted files, so they are inserted
// as text, never as HTML.

const at = (id) => document.getElementById(id);
const DIGITS = '1234567890'.split('');
const REFRESH = 1000;

let state = null;
// Id of the example on the page, and the answers given here, in order.
let current = null;
const given = [];
let waiting = false;

// Behind the #, so that the token does not reach the logs of a server.
const token = new URLSearchParams(location.hash.slice(1)).get('token')
  || sessionStorage.getItem('token') || '';
if (token) sessionStorage.setItem('token', token);
history.replaceState(null, '', location.pathname);

/** Makes an element with a text. */
function make(name, text = '') {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  return element;
}

function say(problem) {
  at('problem').textContent = problem;
  at('problem').hidden = !problem;
}

/** Returns the key of each class, or null if it has none.
 *
 * Up to ten classes get the digits, in order. More than ten, or classes whose
 * names are single characters, get the first character of their name if it is
 * unique; the remaining digits go to the others.
 */
function keysOf(classes) {
  const firsts = classes.map((name) => name[0].toLowerCase());
  const short = classes.every((name) => name.length === 1);
  if (classes.length <= DIGITS.length && !short) {
    return classes.map((name, number) => DIGITS[number]);
  }
  const keys = firsts.map((first) => (
    firsts.filter((other) => other === first).length === 1 ? first : null));
  const left = DIGITS.filter((digit) => !keys.includes(digit));
  return keys.map((key) => key ?? left.shift() ?? null);
}

/** Reads the state, by a POST if there is something to do. */
async function call(path, content) {
  const options = content === undefined ? {} : {
    method: 'POST', body: JSON.stringify(content),
    headers: {'Content-Type': 'application/json', 'X-Token': token},
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    say('The program that serves this page does not answer, and your last '
      + 'action was not recorded. Start it again with the same command; all '
      + 'other answers are kept.');
    return false;
  }
  if (!answer.ok) {
    say((await answer.text()).trim());
    return false;
  }
  const found = await answer.json();
  say(found.error);
  state = found;
  return true;
}

const queries = () => state.queries;
const placeOf = (id) => queries().findIndex((query) => query.id === id);
const open = () => queries().filter((query) => query.answer === null);

/** Returns the next example without an answer, after the current one or from
 * the start.
 */
function following(id) {
  const place = placeOf(id);
  const order = [...queries().slice(place + 1), ...queries().slice(0, place + 1)];
  const found = order.find((query) => query.answer === null);
  return found ? found.id : null;
}

async function answer(label) {
  if (waiting || current === null) return;
  waiting = true;
  const id = current;
  if (await call('/answer', {id, label})) {
    given.push(id);
    current = following(id) ?? id;
    show();
  }
  waiting = false;
}

async function undo() {
  if (waiting) return;
  waiting = true;
  const last = given.pop();
  const mine = queries().filter((query) => query.answer !== null);
  const id = last ?? (mine.length ? mine[mine.length - 1].id : null);
  if (id !== null && await call('/take_back', {id})) {
    current = id;
    show();
  }
  waiting = false;
}

function move(by) {
  const number = queries().length;
  if (!number) return;
  const place = Math.max(placeOf(current), 0);
  current = queries()[(place + by + number) % number].id;
  show();
}

const percent = (share) => `${(100 * share).toFixed(0)}%`;

async function showExample(query) {
  const name = encodeURIComponent(query.id);
  if (state.has_pictures) {
    const picture = make('img');
    picture.alt = `Example ${query.id}`;
    picture.src = `/picture?id=${name}`;
    at('shown').replaceChildren(picture);
    return;
  }
  const answer = await fetch(`/row?id=${name}`);
  const row = answer.ok ? await answer.json() : [];
  if (query.id !== current) return;
  if (!row.length) {
    at('shown').replaceChildren(make('p',
      `Example ${query.id}: the pool has only numbers and no picture; look it `
      + 'up by its id.'));
    return;
  }
  const table = make('table');
  for (const [column, value] of row) {
    const line = make('tr');
    line.append(make('td', column), make('td', value));
    table.append(line);
  }
  at('shown').replaceChildren(table);
}

function showClasses(query) {
  const keys = keysOf(state.classes);
  const items = state.classes.map((label, number) => {
    const button = make('button');
    button.type = 'button';
    if (keys[number]) button.append(make('kbd', keys[number].toUpperCase()));
    button.append(label);
    button.setAttribute('aria-pressed', query.answer === label);
    button.addEventListener('click', () => answer(label));
    const item = make('li');
    item.append(button);
    return item;
  });
  at('classes').replaceChildren(...items);
  for (const name of ['skip', 'unsure']) {
    at(name).setAttribute('aria-pressed', query.answer === state[name]);
  }
  at('undo').disabled = !queries().some((each) => each.answer !== null);
}

function showStrip() {
  const items = queries().map((query, number) => {
    const button = make('button');
    button.type = 'button';
    const without = [state.skip, state.unsure].includes(query.answer);
    if (query.answer !== null) {
      button.className = without ? 'without' : 'answered';
    }
    button.title = `${number + 1}: ${query.answer ?? 'no answer yet'}`;
    button.setAttribute('aria-label', button.title);
    button.setAttribute('aria-current', query.id === current);
    button.addEventListener('click', () => { current = query.id; show(); });
    const item = make('li');
    item.append(button);
    return item;
  });
  at('strip').replaceChildren(...items);
}

function showNext() {
  const left = open().length;
  const first = state.batches === 0;
  at('next').hidden = left > 0;
  at('next-title').textContent = first
    ? 'Nothing was asked yet' : `Batch ${state.batches} is done`;
  at('next-text').textContent = first
    ? 'The first examples are drawn at random.'
    : `${state.labels.toLocaleString('en')} labels so far. The model trains `
      + 'on all of them, and selects the next queries.'
      + (state.disputed ? ` Annotators differ on ${state.disputed} more `
        + 'examples, which have no label until a majority agrees.' : '');
  at('ask').disabled = state.asking;
  at('busy').textContent = state.asking ? 'training …' : '';
  const found = state.estimate;
  const whose = found !== null && found.is_drawn
    ? 'They were drawn at random, so it holds for the pool.'
    : 'Most were chosen because they are hard: the accuracy on the pool is '
      + 'usually higher.';
  at('accuracy').textContent = found === null ? ''
    : `Accuracy before this batch: ${(100 * found.mean).toFixed(1)}% ± `
      + `${(100 * found.standard_error).toFixed(1)}, by cross-validation on `
      + `${found.labels} labels. ${whose}`;
  at('hint').textContent = state.hint;
}

let shownId = null;

function show() {
  at('summary').title = state.pool;
  at('summary').textContent = `${state.pool.split('/').pop()}: `
    + `${state.labels.toLocaleString('en')} of `
    + `${state.examples.toLocaleString('en')} labelled`;
  at('who').textContent = `annotator: ${state.annotator}`;
  if (placeOf(current) < 0) {
    current = open().length ? open()[0].id
      : queries().length ? queries()[0].id : null;
  }
  const query = queries()[placeOf(current)];
  at('work').hidden = !query;
  if (query) {
    const done = queries().length - open().length;
    at('place').textContent = `${placeOf(current) + 1} of ${queries().length}`;
    at('name').textContent = query.id;
    at('guess').textContent = query.predicted === undefined ? ''
      : `model says ${query.predicted}, ${percent(query.probability)}`;
    at('enter').hidden = query.predicted === undefined;
    at('done').style.width = `${100 * done / queries().length}%`;
    showClasses(query);
    showStrip();
    if (query.id !== shownId) showExample(query);
    shownId = query.id;
  } else {
    shownId = null;
  }
  showNext();
}

document.addEventListener('keydown', (event) => {
  if (!state || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof HTMLInputElement) return;
  const query = queries()[placeOf(current)];
  if (!query) return;
  const key = event.key.toLowerCase();
  const number = keysOf(state.classes).indexOf(key);
  const acts = {
    '-': () => answer(state.skip), '?': () => answer(state.unsure),
    backspace: undo, arrowleft: () => move(-1), arrowright: () => move(1),
  };
  if (key === 'enter' && event.target instanceof HTMLButtonElement) return;
  // A class may be named - or ?.
  if (number >= 0) {
    event.preventDefault();
    answer(state.classes[number]);
  } else if (key === 'enter' && query.predicted !== undefined) {
    event.preventDefault();
    answer(query.predicted);
  } else if (acts[key]) {
    event.preventDefault();
    acts[key]();
  }
});

at('skip').addEventListener('click', () => answer(state.skip));
at('unsure').addEventListener('click', () => answer(state.unsure));
at('undo').addEventListener('click', undo);
at('ask').addEventListener('click', async () => {
  if (await call('/ask', {k: Number(at('k').value)})) show();
});

/** Polls the state: others may answer, and a batch may become ready. */
async function refresh() {
  const before = JSON.stringify(state);
  if (!waiting && await call('/state')) {
    // Only on a change: it replaces the buttons, which may be in use.
    if (JSON.stringify(state) !== before) show();
  }
  setTimeout(refresh, REFRESH);
}

refresh();
