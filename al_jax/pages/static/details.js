// Shows newest queries, sample sheets and the ledger of an experiment.

import {ordinal} from '/static/curves.js';

const at = (id) => document.getElementById(id);
const MARKS = {true: '#2ecc71', predicted: '#ff9f1c'};

// The queries on the page. Responses to older requests are dropped by number.
const asked = {key: '', run: '', number: 0, cell: null};

function make(name, className = '', text = '') {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Shows the queries of the selected run, by default the newest queries. */
export function showQueries(cell, details, styles) {
  const queries = details ? details.queries : [];
  at('queries').hidden = !queries.length;
  if (!queries.length) return;
  const runs = queries.map(({system, seed}) => `${system}|${seed}`);
  const select = at('queries-run');
  const listed = JSON.stringify([cell.number, [...runs].sort()]);
  if (select.dataset.listed !== listed) {
    select.dataset.listed = listed;
    asked.run = '';
    const newest = make('option', '', 'run with the newest queries');
    newest.value = '';
    const options = queries.map(({system, seed}, number) => {
      const option = make('option', '', `${styles[system].name}, seed ${seed}`);
      option.value = runs[number];
      return option;
    });
    select.replaceChildren(newest, ...options);
    select.onchange = () => {
      asked.run = select.value;
      showQueries(cell, details, styles);
    };
  }
  const number = asked.run ? runs.indexOf(asked.run) : queries.length - 1;
  const query = queries[number];
  const key = JSON.stringify([cell.number, query, cell.title]);
  if (key === asked.key) return;
  asked.key = key;
  load(cell, query, styles[query.system].name);
}

async function load(cell, query, name) {
  const turn = ++asked.number;
  const path = `/queries/${cell.number}/${query.system}/${query.seed}`;
  const told = `${name}, seed ${query.seed}`;
  // Pictures of the same run stay until there are newer ones.
  if (asked.cell !== cell.number) {
    asked.cell = cell.number;
    at('queries-of').textContent = `${told}: loading the data set for the `
      + 'pictures, a few seconds if it is small';
    at('queries-key').textContent = '\u00a0';
    at('tiles').replaceChildren(
      ...Array.from({length: query.shown}, placeholder));
  }
  try {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(await answer.text());
    const facts = await answer.json();
    const sheet = new Image();
    sheet.src = `${path}/sheet.png?round=${facts.round}`;
    await sheet.decode();
    if (turn !== asked.number) return;
    const shown = facts.tiles.length;
    const of = shown < facts.asked ? `, ${shown} of ${facts.asked}` : '';
    at('queries-of').textContent =
      `${told}, after ${facts.labels.toLocaleString('en')} labels${of}`;
    at('queries-key').textContent = keyOf(facts);
    at('tiles').replaceChildren(...facts.tiles.map((tile, number) =>
      tileOf(tile, number, sheet, facts)));
  } catch (error) {
    if (turn !== asked.number) return;
    at('queries-of').textContent = told;
    at('queries-key').textContent = '';
    at('tiles').replaceChildren(make('span', 'note', error.message));
    at('tiles').firstChild.style.gridColumn = '1 / -1';
  }
}

/** Makes a placeholder for a picture and the three lines below it. */
function placeholder() {
  const element = make('div', 'blank');
  element.append(make('i'), ...[1, 2, 3].map(() => make('div', '', '\u00a0')));
  return element;
}

/** Describes the lines below each picture. */
function keyOf({tiles, score}) {
  const words = [];
  if (tiles.some((tile) => tile.label)) words.push('the true label');
  if (tiles.some((tile) => tile.predicted !== undefined)) {
    words.push('→ the prediction of the model, and its probability');
  }
  if (score) words.push(`the acquisition value: ${score}`);
  return words.length ? `Below each picture: ${words.join('; ')}.` : '';
}

function tileOf(tile, number, sheet, {width, height}) {
  const element = make('div', 'tile');
  const canvas = make('canvas');
  // Marks are finer than the pixels of a small picture.
  const times = Math.max(1, Math.ceil(144 / Math.max(width, height)));
  canvas.width = width * times;
  canvas.height = height * times;
  const context = canvas.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, number * width, 0, width, height,
                    0, 0, canvas.width, canvas.height);
  drawMarks(context, tile.true_marks, MARKS.true, canvas.width);
  drawMarks(context, tile.marks || [], MARKS.predicted, canvas.width);
  element.append(canvas, make('div', '', tile.label));
  if (tile.predicted !== undefined) {
    const sure = tile.probability === null ? ''
      : `, ${Math.round(100 * tile.probability)} %`;
    const wrong = tile.label && tile.predicted !== tile.label ? 'wrong' : '';
    element.append(make('div', wrong, `→ ${tile.predicted}${sure}`));
  }
  const value = Number(tile.value);
  if (tile.value !== undefined && Number.isFinite(value)) {
    const isTiny = value !== 0 && Math.abs(value) < 1e-3;
    const told = isTiny ? value.toExponential(0)
      : String(Number(value.toPrecision(2)));
    element.append(make('div', 'quiet', told.replace('-', '−')));
  }
  return element;
}

/** Draws lines in units of the picture's width; a single point is a dot. */
function drawMarks(context, lines, colour, width) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = Math.max(1, width / 60);
  for (const line of lines) {
    context.beginPath();
    line.forEach(([x, y], step) =>
      step ? context.lineTo(x * width, y * width)
        : context.moveTo(x * width, y * width));
    if (line.length === 1) {
      context.arc(line[0][0] * width, line[0][1] * width, width / 30, 0, 7);
      context.fill();
    } else {
      context.stroke();
    }
  }
}

/** Lists sample sheets; a rewritten file is loaded again. */
export function showSheets(cell, details) {
  const sheets = details ? details.sheets : [];
  at('sheets').hidden = !sheets.length;
  const key = JSON.stringify([cell.number, sheets]);
  if (at('sheet-list').dataset.key === key) return;
  at('sheet-list').dataset.key = key;
  at('sheet-list').replaceChildren(...sheets.map(({name, written}) => {
    const figure = make('figure');
    const image = make('img');
    image.loading = 'lazy';
    image.alt = name;
    image.src = `/pictures/${cell.number}/${encodeURIComponent(name)}`
      + `?written=${written}`;
    const caption = name.replace(/\.png$/, '')
      .replace(/_seed(\d+)_round(\d+)_/, (_, seed, round) =>
        `, seed ${seed}, ${ordinal(round)} round: `)
      .replaceAll('_', ' ');
    const link = make('a');
    link.href = image.src;
    link.target = '_blank';
    link.title = 'Opens the sheet at its full size';
    link.append(image);
    figure.append(link, make('figcaption', '', caption));
    return figure;
  }));
}

/** Shows the costs of each system. */
export function showLedger(details) {
  const ledger = details ? details.ledger : null;
  at('ledger').hidden = !ledger;
  if (!ledger) return;
  const row = (cells, name) => {
    const element = make('tr');
    element.append(...cells.map((text) => make(name, '', text)));
    return element;
  };
  at('ledger-table').replaceChildren(
    row(ledger.titles, 'th'), ...ledger.rows.map((cells) => row(cells, 'td')));
}
