// Line charts: means with bands, thin lines, and values under the pointer.

const SVG = 'http://www.w3.org/2000/svg';
const MARGIN = {left: 56, right: 14, top: 26, bottom: 42};
const HEIGHT = 270;

/** Makes an SVG element with attributes. */
export function svg(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  return element;
}

/** Returns about `count` round numbers that cover [low, high]. */
export function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((each) => each * power >= raw) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9;
       at++) {
    found.push(at * step || 0);  // never -0
  }
  return {found, step};
}

/** Returns the exponent of the leading digit, such as -2 for 0.05. */
function powerOfTen(of) {
  return Math.floor(Math.log10(Math.abs(of)) + 1e-9);
}

/** Formats a number with the digits that steps of this size need. */
export function shown(value, step) {
  const digits = Math.max(0, Math.min(12, -powerOfTen(step)));
  // More digits do not fit into the margin.
  if (digits > 5 && Math.abs(value) < 1e-2) {
    if (!value) return '0';
    const fine = Math.max(0, powerOfTen(value) - powerOfTen(step));
    return value.toExponential(fine).replaceAll('-', '−');
  }
  return value.toLocaleString('en', {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}

/** Returns the smallest and the largest value. */
function bounds(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function extent(values, isWhole) {
  const [low, high] = bounds(values);
  if (low > high) return [0, 1];
  if (low === high) {
    const room = isWhole ? 1 : Math.abs(low) * .05 || .5;
    return [low - room, high + room];
  }
  return [low, high];
}

/**
 * A chart that fills its element.
 *
 * `draw(lines)` takes lines of {name, colour, dash, points, thin}: a point is
 * [x, y, standard error or null], and `thin` is a list of lists of [x, y].
 */
export class Chart {
  /** If `least` is given, the horizontal axis begins there or before. */
  constructor(host, xLabel, least = Infinity) {
    this.host = host;
    this.least = least;
    host.classList.add('chart');
    this.xLabel = xLabel;
    this.title = '';
    this.percent = false;
    this.lines = [];
    this.picture = svg('svg', {role: 'img'});
    this.tip = document.createElement('div');
    this.tip.className = 'tip';
    this.tip.hidden = true;
    host.replaceChildren(this.picture, this.tip);
    new ResizeObserver(() => this.render()).observe(host);
    this.picture.addEventListener('pointermove', (event) => this.hover(event));
    this.picture.addEventListener('pointerleave', () => this.leave());
  }

  draw(lines, title, percent = false) {
    Object.assign(this, {lines, title, percent});
    this.render();
  }

  /** Sets the scales from the lines. */
  scale() {
    // With and without the bands around the means.
    const xs = [], ys = [], values = [];
    for (const line of this.lines) {
      for (const [x, y, error] of line.points) {
        xs.push(x);
        values.push(y);
        ys.push(y - (error || 0), y + (error || 0));
      }
      for (const thin of line.thin || []) {
        for (const [x, y] of thin) {
          xs.push(x);
          ys.push(y);
          values.push(y);
        }
      }
    }
    this.isEmpty = xs.length === 0;
    if (Number.isFinite(this.least)) xs.push(this.least);
    const [left, right] = extent(xs, true);
    let [low, high] = extent(ys, false);
    const room = (high - low) * .06;
    // Limits padding: shares end at 100 %, nonnegative values begin at 0.
    const [least, most] = bounds(values);
    low = least >= 0 ? Math.max(0, low - room) : low - room;
    high = this.percent && most <= 1 ? Math.min(1, high + room) : high + room;
    const width = Math.max(220, this.host.clientWidth);
    const inner = width - MARGIN.left - MARGIN.right;
    const tall = HEIGHT - MARGIN.top - MARGIN.bottom;
    this.width = width;
    this.range = {left, right, low, high};
    this.x = (of) => MARGIN.left + (of - left) / (right - left) * inner;
    this.y = (of) => MARGIN.top + (high - of) / (high - low) * tall;
  }

  render() {
    this.scale();
    this.picture.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    this.picture.setAttribute(
      'aria-label', `${this.title} against ${this.xLabel}`);
    this.picture.replaceChildren();
    this.axes();
    for (const line of this.lines) this.line(line);
    this.marks = svg('g');
    this.picture.append(this.marks);
    if (!this.tip.hidden) this.hover(this.last);
  }

  text(content, x, y, attributes = {}) {
    const element = svg('text', {x, y, ...attributes});
    element.textContent = content;
    this.picture.append(element);
  }

  axes() {
    const {left, right, low, high} = this.range;
    const bottom = HEIGHT - MARGIN.bottom;
    const end = this.width - MARGIN.right;
    this.text(this.title, 0, 12, {class: 'title'});
    this.text(this.xLabel, (MARGIN.left + end) / 2, HEIGHT - 6,
              {'text-anchor': 'middle'});
    if (this.isEmpty) {
      this.text('no line is shown', this.width / 2, HEIGHT / 2,
                {class: 'empty'});
      return;
    }
    const scale = this.percent ? 100 : 1;
    const rows = ticks(low * scale, high * scale, 5);
    for (const tick of rows.found) {
      const y = this.y(tick / scale);
      this.picture.append(svg('line', {
        class: 'gridline', x1: MARGIN.left, x2: end, y1: y, y2: y}));
      const unit = this.percent ? ' %' : '';
      this.text(shown(tick, rows.step) + unit, MARGIN.left - 8, y + 4,
                {'text-anchor': 'end'});
    }
    const columns = ticks(left, right, Math.max(3, this.width / 110));
    for (const tick of columns.found) {
      if (!Number.isInteger(tick)) continue;
      this.text(shown(tick, 1), this.x(tick), bottom + 17,
                {'text-anchor': 'middle'});
    }
    this.picture.append(svg('line', {
      class: 'axis', x1: MARGIN.left, x2: end, y1: bottom, y2: bottom}));
  }

  path(points) {
    return points.map(([x, y], at) =>
      `${at ? 'L' : 'M'}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`
    ).join('');
  }

  line({colour, dash, points, thin}) {
    const banded = points.filter((point) => point[2] !== null
      && point[2] !== undefined);
    if (banded.length > 1) {
      const {low, high} = this.range;
      const above = banded.map(([x, y, error]) =>
        [x, Math.min(high, y + error)]);
      const below = banded.map(([x, y, error]) =>
        [x, Math.max(low, y - error)]).reverse();
      this.picture.append(svg('path', {
        class: 'band', fill: colour, 'fill-opacity': .16,
        d: this.path(above) + this.path(below).replace('M', 'L') + 'Z'}));
    }
    for (const each of thin || []) {
      this.picture.append(svg('path', {
        class: 'thin', fill: 'none', stroke: colour, 'stroke-width': 1,
        'stroke-opacity': .4, d: this.path(each)}));
    }
    this.picture.append(svg('path', {
      class: 'mean', fill: 'none', stroke: colour, 'stroke-width': 2,
      'stroke-dasharray': dash || 'none', 'stroke-linejoin': 'round',
      d: this.path(points)}));
    // Many markers would merge into one another.
    if (points.length <= 40) {
      for (const [x, y] of points) {
        this.picture.append(svg('circle', {
          cx: this.x(x), cy: this.y(y), r: 2.6, fill: colour}));
      }
    }
  }

  /** Shows the values at the x that is nearest to the pointer. */
  hover(event) {
    this.last = event;
    const box = this.picture.getBoundingClientRect();
    const at = (event.clientX - box.left) * this.width / box.width;
    let nearest = null;
    for (const line of this.lines) {
      for (const [x] of line.points) {
        const away = Math.abs(this.x(x) - at);
        if (nearest === null || away < nearest.away) nearest = {x, away};
      }
    }
    if (nearest === null) return;
    const cursor = this.x(nearest.x);
    this.marks.replaceChildren(svg('line', {
      class: 'cursor', x1: cursor, x2: cursor, y1: MARGIN.top,
      y2: HEIGHT - MARGIN.bottom}));
    const found = [];
    for (const line of this.lines) {
      const point = line.points.find(([x]) => x === nearest.x);
      if (!point) continue;
      found.push({line, point});
      this.marks.append(svg('circle', {
        cx: cursor, cy: this.y(point[1]), r: 4.5, fill: line.colour}));
    }
    found.sort((one, other) => other.point[1] - one.point[1]);
    this.tell(nearest.x, found);
    const side = cursor > this.width * .55;
    const place = cursor / this.width * box.width;
    this.tip.style.left = side ? '' : `${place + 12}px`;
    this.tip.style.right = side ? `${box.width - place + 12}px` : '';
    this.tip.style.top = '30px';
  }

  tell(x, found) {
    const head = document.createElement('div');
    head.textContent = `${x.toLocaleString('en')} ${this.xLabel}`;
    this.tip.replaceChildren(head);
    for (const {line, point} of found) {
      const row = document.createElement('div');
      const dot = document.createElement('i');
      dot.style.background = line.colour;
      const name = document.createElement('span');
      name.textContent = line.name;
      const value = document.createElement('span');
      value.textContent = this.value(point[1])
        + (point[2] ? ` ± ${this.value(point[2])}` : '')
        + (this.percent ? ' %' : '');
      row.append(dot, name, value);
      this.tip.append(row);
    }
    this.tip.hidden = false;
  }

  value(of) {
    return this.percent ? (100 * of).toFixed(2) : of.toPrecision(4);
  }

  leave() {
    this.tip.hidden = true;
    if (this.marks) this.marks.replaceChildren();
  }
}
