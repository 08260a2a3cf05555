// Converts rows of records and progress to lines of charts.

/** Positions in a row of the event `records`. */
export const SCORE = 4, LOSS = 5;
const DASHES = ['', '7 4', '2 3'];

/** Lightens a colour that would be too dark on a dark page. */
export function visible(colour, isDark) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const light = (.299 * parts[0] + .587 * parts[1] + .114 * parts[2]) / 255;
  const goal = .56;
  if (!isDark || light >= goal) return colour;
  const share = (goal - light) / (1 - light);
  const mixed = parts.map((part) => Math.round(part + share * (255 - part)));
  return `rgb(${mixed.join(', ')})`;
}

/** Returns the style of the line of a system. */
export function styleOf(system, colours, isDark) {
  const number = system.colour;
  return {
    colour: visible(colours[number % colours.length], isDark),
    dash: DASHES[Math.floor(number / colours.length) % DASHES.length],
  };
}

/** Returns `1 seed` or `2 seeds`. */
export function counted(count, name) {
  return `${count.toLocaleString('en')} ${name}${count === 1 ? '' : 's'}`;
}

/**
 * Returns `1st` for round 0. Files count rounds from 0, so `round 1` would be
 * ambiguous.
 */
export function ordinal(round) {
  const n = Number(round) + 1, last = n % 10;
  const isTeen = n % 100 > 10 && n % 100 < 14;
  return `${n}${isTeen ? 'th' : ['th', 'st', 'nd', 'rd'][last] || 'th'}`;
}

/** Returns mean and standard error; the error of a single number is null. */
export function meanAndError(values) {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2) return [mean, null];
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return [mean, Math.sqrt(squares / (n - 1) / n)];
}

/**
 * Returns {points, thin} per system: means over seeds against labels.
 *
 * A round may end without an answer. Of rounds with the same number of labels,
 * the last one counts, as in the report.
 */
export function curves(rows, column, numSystems) {
  const runs = Array.from({length: numSystems}, () => new Map());
  for (const row of rows) {
    const [system, seed, round, labels] = row;
    if (row[column] === null || !runs[system]) continue;
    if (!runs[system].has(seed)) runs[system].set(seed, new Map());
    const run = runs[system].get(seed);
    const before = run.get(labels);
    if (!before || before[0] < round) run.set(labels, [round, row[column]]);
  }
  return runs.map((seeds) => {
    const at = new Map();
    const thin = [];
    for (const run of seeds.values()) {
      const line = [...run].map(([labels, [, value]]) => [labels, value]);
      line.sort((one, other) => one[0] - other[0]);
      thin.push(line);
      for (const [labels, value] of line) {
        if (!at.has(labels)) at.set(labels, []);
        at.get(labels).push(value);
      }
    }
    const points = [...at.keys()].sort((one, other) => one - other)
      .map((labels) => [labels, ...meanAndError(at.get(labels))]);
    return {points, thin};
  });
}

/**
 * Returns the progress of the current rounds, a list per system and seed. If
 * there are none, returns that of the last known round.
 */
export function underWay(progress, records) {
  const newest = new Map();
  for (const row of progress) {
    const [system, seed, round] = row;
    const run = `${system}|${seed}`;
    let found = newest.get(run);
    // A lower step means that the round was started again.
    const last = found && found[found.length - 1];
    if (!found || last[2] !== round || row[4] < last[4]) {
      found = [];
      newest.set(run, found);
    }
    found.push(row);
  }
  const all = [...newest.values()];
  const open = all.filter(([row]) =>
    !records.has(`${row[0]}|${row[1]}|${row[2]}`));
  if (open.length) return {rows: open, isOver: false};
  const time = (run) => run[run.length - 1][5];
  all.sort((one, other) => time(other) - time(one));
  return {rows: all.slice(0, 1), isOver: true};
}
