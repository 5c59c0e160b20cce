// The page of the admin port: asks the JSON API of where it came from, and draws what it says.
//
// Account names are other people's. They become text and nothing else: nodes are made one by one,
// there is no markup in a string anywhere here, and characters that cannot be seen, or that move
// others about, are shown by their numbers.
'use strict';

const POLL_MS = 1000;
const TIMEOUT_MS = 8000;
const ACCOUNTS_EVERY = 2; // polls
const INFO_EVERY = 10;
const SAMPLES = 300; // kept: five minutes
const RATE_SAMPLES = 10; // over which rates and latencies are taken
const LIMIT = 25; // accounts in the table
const TOKEN_KEY = 'adder-admin-token';
const SVG = 'http://www.w3.org/2000/svg';

const byId = (id) => document.getElementById(id);
const state = { info: null, samples: [], survey: null, rounds: 0 };

// ---- numbers ----

const DASH = '–';
const known = (value) => typeof value === 'number' && Number.isFinite(value);
const whole = (value) => (known(value) ? Math.round(value).toLocaleString('en-US') : DASH);
const rate = (value) => (!known(value) ? DASH : value < 10 && value > 0 ? value.toFixed(1) : whole(value));
const real = (value) => (known(value) ? String(Number(value.toPrecision(4))) : DASH);
// In columns, where digits stand below each other.
function fixed(value) {
  if (!known(value)) return DASH;
  const text = Math.abs(value) < 1e6 ? value.toFixed(2) : value.toExponential(2);
  return text === '-0.00' ? '0.00' : text;
}

function seconds(value) {
  if (!known(value)) return DASH;
  if (value < 1e-3) return `${Number((value * 1e6).toPrecision(3))} µs`;
  return value < 1 ? `${Number((value * 1e3).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`;
}

function duration(value) {
  if (!known(value)) return DASH;
  const s = Math.floor(value);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const bytes = (value) => (value < 1e9 ? `${Math.round(value / 1e6)} MB` : `${(value / 1e9).toFixed(1)} GB`);
const sum = (values) => values.reduce((a, b) => a + b, 0);

// A quantile of a histogram, taken as even within a bucket; above all bounds, the last of them.
function quantile(bounds, counts, q) {
  const wanted = q * sum(counts);
  if (!(wanted > 0)) return NaN;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    if (below + counts[i] >= wanted) {
      const low = i > 0 ? bounds[i - 1] : 0;
      return low + ((bounds[i] - low) * (wanted - below)) / counts[i];
    }
    below += counts[i];
  }
  return bounds[bounds.length - 1];
}

// ---- nodes ----

function put(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function draw(parent, tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// Controls, what turns the direction of writing, what has no width, spaces that look like another,
// private and unassigned characters.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]|(?! )\p{Zs}|^ | $/gu;

function nameNode(name) {
  const node = document.createElement('bdi');
  let at = 0;
  for (const match of name.matchAll(UNSEEN)) {
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
    node.append(name.slice(at, match.index), make('span', 'esc', `U+${code}`));
    at = match.index + match[0].length;
  }
  node.append(name.slice(at));
  return node;
}

// ---- asking ----

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, parameters = {}) {
  const query = Object.entries(parameters)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const token = sessionStorage.getItem(TOKEN_KEY);
  const reply = await fetch(query ? `${path}?${query}` : path, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const document = await reply.json();
  if (!reply.ok) throw new Refused(reply.status, document.error);
  return document;
}

// ---- what is chosen: #account=NAME or #group=NAME, and &model=NAME ----

function chosen() {
  const found = {};
  for (const part of location.hash.slice(1).split('&')) {
    const at = part.indexOf('=');
    try {
      if (at > 0) found[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1));
    } catch {
      // Not a link of this page's: as if it were not there.
    }
  }
  return found;
}

function linkTo(name, isGroup, model) {
  const of = models().length > 1 ? `&model=${encodeURIComponent(model)}` : '';
  return `#${isGroup ? 'group' : 'account'}=${encodeURIComponent(name)}${of}`;
}

const models = () => state.info?.models ?? [];
const model = () => models().find((m) => m.name === (byId('model').value || chosen().model)) ?? models()[0];
const modelName = () => (models().length > 1 ? model()?.name : null);

// ---- charts ----

const LEFT = 52;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;

// The least of 1, 2, 5 times a power of ten that is not below.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((f) => f * power).find((top) => top >= value * (1 - 1e-9));
}

function frame(svg, top, format) {
  const width = Math.max(svg.clientWidth, 200);
  const height = Math.max(svg.clientHeight, 100);
  svg.replaceChildren();
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const area = {
    width,
    height,
    x: (share) => LEFT + share * (width - LEFT - RIGHT),
    y: (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM),
  };
  for (const value of [0, top / 2, top]) {
    draw(svg, 'line', { class: 'axis', x1: LEFT, x2: width - RIGHT, y1: area.y(value), y2: area.y(value) });
    draw(svg, 'text', { x: LEFT - 6, y: area.y(value) + 4, 'text-anchor': 'end' }, format(value));
  }
  return area;
}

function polyline(svg, area, className, points) {
  let path = '';
  let open = false;
  for (const [x, y] of points) {
    open = open && known(y);
    if (known(y)) path += `${open ? 'L' : 'M'}${area.x(x).toFixed(1)} ${area.y(y).toFixed(1)}`;
    open = known(y);
  }
  draw(svg, 'path', { class: `line ${className}`, d: path });
}

// Lines over up to the last five minutes; each a list of values, one a sample, the newest last.
function timeChart(svg, lines, format) {
  const top = ceiling(Math.max(0, ...lines.flatMap((line) => line.values.filter(known))));
  const area = frame(svg, top, format);
  const now = state.samples.at(-1)?.clock_ms ?? 0;
  const since = now - (state.samples[0]?.clock_ms ?? now);
  const span = Math.min(SAMPLES * POLL_MS, Math.max(60000, since));
  const xs = state.samples.map((s) => 1 - (now - s.clock_ms) / span);
  for (const line of lines) {
    polyline(svg, area, line.className, line.values.map((y, i) => [xs[i], y]).filter(([x]) => x >= 0));
  }
  draw(svg, 'text', { x: LEFT, y: area.height - 4 }, `${duration(Math.round(span / 1000))} ago`);
  draw(svg, 'text', { x: area.width - RIGHT, y: area.height - 4, 'text-anchor': 'end' }, 'now');
}

// Bars side by side for each bucket, as shares of their own sum, and the limit at 1.
function levelChart(svg, bounds, sets) {
  const shares = sets.map(({ className, counts }) => {
    const all = sum(counts);
    return { className, counts, shares: counts.map((n) => (all > 0 ? n / all : 0)) };
  });
  const top = Math.min(1, ceiling(Math.max(0, ...shares.flatMap((s) => s.shares))));
  const area = frame(svg, top, (value) => `${Number((value * 100).toPrecision(2))} %`);
  const buckets = bounds.length + 1;
  const width = (area.x(1) - area.x(0)) / buckets;
  shares.forEach(({ className, counts, shares: values }, set) => {
    values.forEach((share, i) => {
      if (!(share > 0)) return;
      const y = Math.min(area.y(share), area.y(0) - 2); // one of many can be seen
      const bar = draw(svg, 'rect', {
        class: className,
        x: area.x(i / buckets) + 1 + (set * (width - 2)) / sets.length,
        y,
        width: Math.max(1, (width - 2) / sets.length),
        height: area.y(0) - y,
      });
      draw(bar, 'title', {}, `${whole(counts[i])} ${i < bounds.length ? `at most ${bounds[i]}` : `above ${bounds[i - 1]}`}`);
    });
  });
  bounds.forEach((bound, i) => {
    const x = area.x((i + 1) / buckets);
    if ([0, 0.5, 1, 2, 10].includes(bound)) {
      draw(svg, 'text', { x, y: area.height - 4, 'text-anchor': 'middle' }, String(bound));
    }
    if (bound === 1) {
      draw(svg, 'line', { class: 'limit', x1: x, x2: x, y1: TOP, y2: area.y(0) });
      draw(svg, 'text', { class: 'limit', x: x + 4, y: TOP + 10 }, 'limit');
    }
  });
}

function historyChart(svg, history, key, limit) {
  const values = history.map((entry) => entry[key]).filter(known);
  const top = ceiling(Math.max(known(limit) ? limit : 0, ...values));
  const area = frame(svg, top, real);
  const first = history[0].query;
  const last = history.at(-1).query;
  const x = (query) => (last > first ? (query - first) / (last - first) : 0.5);
  const shown = history.filter((entry) => known(entry[key]));
  polyline(svg, area, 'one', shown.map((entry) => [x(entry.query), Math.max(0, entry[key])]));
  for (const entry of shown) {
    const dot = draw(svg, 'circle', {
      class: entry.verdict === 'flagged' ? 'bad' : 'one',
      cx: area.x(x(entry.query)),
      cy: area.y(Math.max(0, entry[key])),
      r: 3,
    });
    draw(dot, 'title', {}, `query ${entry.query}: ${real(entry[key])}, ${entry.verdict}`);
  }
  if (known(limit)) {
    draw(svg, 'line', { class: 'limit', x1: area.x(0), x2: area.x(1), y1: area.y(limit), y2: area.y(limit) });
    draw(svg, 'text', { class: 'limit', x: area.x(0) + 4, y: area.y(limit) - 4 }, 'limit');
  }
  draw(svg, 'text', { x: LEFT, y: area.height - 4 }, `query ${whole(first)}`);
  draw(svg, 'text', { x: area.width - RIGHT, y: area.height - 4, 'text-anchor': 'end' }, whole(last));
}

// ---- live ----

function perSecond(newer, older, count) {
  const took = (newer.clock_ms - older.clock_ms) / 1000;
  return took > 0 ? (count(newer) - count(older)) / took : NaN;
}

const difference = (newer, older, histogram) =>
  histogram(newer).counts.map((count, i) => count - histogram(older).counts[i]);

// What is worked out once for each sample, against the ones before it.
function measure(samples, i) {
  const newer = samples[i];
  const before = samples[Math.max(0, i - 1)];
  const older = samples[Math.max(0, i - RATE_SAMPLES)];
  const took = difference(newer, older, (s) => s.request_seconds);
  const bounds = newer.request_seconds.bounds;
  newer.rows_s = perSecond(newer, before, (s) => s.rows);
  newer.p50 = quantile(bounds, took, 0.5);
  newer.p99 = quantile(bounds, took, 0.99);
}

const requestsOf = (s) => sum(Object.values(s.requests));
const refusedOf = (s) => sum(Object.values(s.refusals));

function showTiles(newer, older) {
  put('rate-rows', rate(perSecond(newer, older, (s) => s.rows)));
  put('total-rows', whole(newer.rows));
  put('rate-requests', rate(perSecond(newer, older, requestsOf)));
  put('total-requests', whole(requestsOf(newer)));
  put('latency-p99', seconds(newer.p99));
  put('latency-p50', seconds(newer.p50));
  put('queue-requests', whole(newer.now?.queue_requests));
  put('queue-rows', whole(newer.now?.queue_rows));
  put('in-flight', whole(newer.now?.in_flight));
  put('rate-refused', rate(perSecond(newer, older, refusedOf)));
  put('total-refused', whole(refusedOf(newer)));
  put('accounts-max', whole(newer.now?.accounts_max));
  put('evictions', whole(newer.now?.evictions));
  put('uptime', duration(Date.now() / 1000 - newer.started_s));
  put('memory', bytes(newer.resident_bytes));
  byId('tile-refused').classList.toggle('alert', refusedOf(newer) > refusedOf(older));
}

function rowOf(label, ...cells) {
  return make('tr', '', make('td', '', label), ...cells.map((text) => make('td', 'n', text)));
}

function showTables(newer, older) {
  const counted = (field) =>
    Object.keys(newer[field]).map((name) => ({
      name,
      all: newer[field][name],
      row: rowOf(name.replaceAll('_', ' '), rate(perSecond(newer, older, (s) => s[field][name])), whole(newer[field][name])),
    }));
  byId('decisions-body').replaceChildren(...counted('decisions').map((c) => c.row));
  const refused = counted('refusals').filter((c) => c.all > 0);
  byId('refusals-body').replaceChildren(...refused.map((c) => c.row));
  byId('refusals-body').parentNode.hidden = refused.length === 0;
  byId('refusals-empty').hidden = refused.length > 0;
  byId('stages-body').replaceChildren(
    ...Object.keys(newer.stage_seconds).map((name) => {
      const took = difference(newer, older, (s) => s.stage_seconds[name]);
      const { bounds } = newer.stage_seconds[name];
      return rowOf(name, seconds(quantile(bounds, took, 0.5)), seconds(quantile(bounds, took, 0.99)));
    }),
  );
}

function showLive(sample) {
  const last = state.samples.at(-1);
  if (last && last.started_s !== sample.started_s) state.samples = []; // another daemon: its counters began anew
  state.samples.push(sample);
  if (state.samples.length > SAMPLES) state.samples.shift();
  measure(state.samples, state.samples.length - 1);
  const older = state.samples.at(-1 - Math.min(RATE_SAMPLES, state.samples.length - 1));
  showTiles(sample, older);
  showTables(sample, older);
  timeChart(byId('chart-rows'), [{ className: 'one', values: state.samples.map((s) => s.rows_s) }], rate);
  timeChart(
    byId('chart-latency'),
    [
      { className: 'one', values: state.samples.map((s) => s.p50) },
      { className: 'two', values: state.samples.map((s) => s.p99) },
    ],
    (value) => (value > 0 ? seconds(value) : '0'),
  );
  showState(sample);
}

function showState(sample) {
  const degraded = sample.now?.degraded;
  const text = !sample.ready ? sample.reason : degraded ? 'degraded: the device was lost' : 'ready';
  say(text, sample.ready && !degraded ? 'good' : '');
}

function say(text, kind) {
  put('state', text);
  byId('state').className = `state ${kind}`;
  document.body.classList.toggle('stale', kind === 'lost');
}

// ---- info ----

function showInfo(info) {
  state.info = info;
  const picker = byId('model');
  const names = models().map((m) => m.name);
  if (names.join('\n') !== [...picker.options].map((o) => o.value).join('\n')) {
    const before = picker.value || chosen().model;
    picker.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(before)) picker.value = before;
  }
  picker.hidden = names.length < 2;
  byId('model-name').hidden = names.length > 1;
  put('model-name', names[0] ?? DASH);
  put('engine', info.engine ?? DASH);
  put('version', info.version ?? DASH);
  const m = model();
  const by = !m ? DASH : m.mode === 'off' ? 'nothing' : m.has_evidence ? 'evidence' : known(m.threshold) ? `score above ${real(m.threshold)}` : 'nothing: no threshold';
  put('decides', m ? `${by}; ${m.mode}, ${m.action.replace('_', ' ')}` : DASH);
}

// ---- accounts ----

function verdictNode(verdict, reason) {
  return make('span', `verdict ${verdict}`, reason ? `${verdict} by ${reason}` : verdict);
}

function accountRow(account) {
  const link = make('a', '', nameNode(account.name));
  link.href = linkTo(account.name, account.is_group, state.survey.model);
  const cell = make('td', 'name', ...(account.is_group ? [make('span', 'tag', 'group')] : []), link);
  const row = make('tr', '', cell, make('td', '', verdictNode(account.verdict, account.reason)));
  for (const text of [fixed(account.level), fixed(account.score), fixed(account.excess), whole(account.queries)]) {
    row.append(make('td', 'n', text));
  }
  const { account: name, group } = chosen();
  row.classList.toggle('chosen', (account.is_group ? group : name) === account.name);
  row.addEventListener('click', () => {
    location.hash = link.hash;
  });
  return row;
}

function showLevels(survey) {
  const levels = survey.levels;
  byId('chart-levels').classList.toggle('none', !levels);
  byId('chart-levels').toggleAttribute('hidden', !levels);
  byId('levels-empty').hidden = Boolean(levels);
  put('levels-empty', 'There is no limit to compare with: no threshold above 0, and no evidence.');
  put('levels-title', survey.by === 'evidence' ? 'Evidence over its limit' : 'Score over the threshold');
  const newer = state.samples.at(-1);
  if (!levels || !newer) return;
  const rows = difference(newer, state.samples[0], (s) => s.row_levels);
  levelChart(byId('chart-levels'), levels.bounds, [
    { className: 'one', counts: levels.counts },
    { className: 'three', counts: rows },
  ]);
}

function showAccounts(survey) {
  state.survey = survey;
  put('flagged', whole(survey.flagged));
  put('accounts', whole(survey.accounts + survey.groups));
  byId('tile-flagged').classList.toggle('alert', survey.flagged > 0);
  put('level-head', survey.by === 'evidence' ? 'evidence' : 'of limit');
  put('riskiest-note', survey.by === 'evidence' ? 'by evidence over its limit' : 'by the last score');
  byId('accounts-body').replaceChildren(...survey.riskiest.map(accountRow));
  byId('accounts-empty').hidden = survey.riskiest.length > 0;
  byId('accounts-body').parentNode.hidden = survey.riskiest.length === 0;
  showLevels(survey);
}

// ---- one account ----

function factsOf(e) {
  const facts = [['verdict', verdictNode(e.verdict, e.reason)]];
  if (known(e.evidence)) {
    facts.push(['evidence', `${real(e.evidence)} of its limit (queries ${real(e.evidence_queries)}, windows ${real(e.evidence_windows)})`]);
  }
  facts.push(['score', known(e.threshold) ? `${real(e.score)} (threshold ${real(e.threshold)})` : real(e.score)]);
  if (known(e.excess)) facts.push(['excess', `${real(e.excess)} standard deviations above honest windows`]);
  if (known(e.memory_score)) facts.push(['memory score', real(e.memory_score)]);
  facts.push(['window', `${e.fill} of ${e.window_rows} rows`]);
  if (e.queries > 0) facts.push(['queries', whole(e.queries)]);
  if (e.first_flagged_at > 0) facts.push(['first flagged', `at its query ${whole(e.first_flagged_at)}`]);
  if (e.flagged_at > 0) {
    const end = e.release_after > 0 ? `freed after ${whole(e.release_after)} clean queries in a row, ${whole(e.clean_run)} so far` : 'until it is forgotten';
    facts.push(['flagged', `since its query ${whole(e.flagged_at)}; ${end}`]);
  }
  return facts;
}

function classRow(c, most) {
  const bar = document.createElementNS(SVG, 'svg');
  bar.setAttribute('class', 'bar');
  const share = most > 0 ? Math.max(0, c.contribution) / most : 0;
  draw(bar, 'rect', { class: 'one', x: 0, y: 0, height: 10, width: 72 * share });
  const honest = known(c.honest_mean) ? `${fixed(c.honest_mean)} ± ${fixed(c.honest_deviation)}` : DASH;
  const adds = make('td', 'gap', bar);
  adds.title = real(c.contribution);
  const row = make('tr', '', make('td', 'n', String(c.class)), make('td', 'n', String(c.rows)), adds);
  for (const text of [fixed(c.distance), fixed(c.mean_part), fixed(c.covariance_part), honest, fixed(c.excess)]) {
    row.append(make('td', 'n', text));
  }
  return row;
}

function showExplanation(e) {
  byId('detail-facts').replaceChildren(
    ...factsOf(e).flatMap(([term, value]) => [make('dt', '', term), make('dd', '', value)]),
  );
  const most = Math.max(0, ...e.classes.map((c) => c.contribution));
  byId('classes-body').replaceChildren(...e.classes.map((c) => classRow(c, most)));
  const svg = byId('chart-history');
  const byEvidence = known(e.evidence);
  put('history-title', byEvidence ? 'Evidence over its limit' : 'Score');
  byId('history-empty').hidden = e.history.length > 0;
  put('history-empty', byEvidence ? 'No window is full yet.' : 'No history is kept without evidence.');
  svg.toggleAttribute('hidden', e.history.length === 0);
  byId('detail-body').hidden = false;
  if (e.history.length > 0) historyChart(svg, e.history, byEvidence ? 'evidence' : 'score', byEvidence ? 1 : e.threshold);
}

async function explain() {
  const { account, group } = chosen();
  const name = account ?? group;
  const none = name === undefined;
  byId('detail-name').replaceChildren(...(none ? [] : [nameNode(name)]));
  byId('detail-empty').hidden = !none;
  put('detail-empty', 'Choose an account to see why it has its verdict.');
  if (none) {
    byId('detail-body').hidden = true;
    return;
  }
  try {
    const explanation = await ask('api/explain', { model: modelName(), account, group: account === undefined ? group : null });
    const after = chosen();
    if ((after.account ?? after.group) === name) showExplanation(explanation);
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    byId('detail-body').hidden = true;
    byId('detail-empty').hidden = false;
    put('detail-empty', `The daemon says: ${error.message}.`);
  }
}

// ---- round after round ----

function fail(error) {
  const refused = error instanceof Refused;
  const wantsToken = refused && error.status === 401;
  if (wantsToken && byId('token-form').hidden) {
    byId('token-refused').hidden = sessionStorage.getItem(TOKEN_KEY) === null;
    byId('token-form').hidden = false;
    byId('token').focus();
  }
  say(wantsToken ? 'locked' : refused ? error.message : 'connection lost', refused ? '' : 'lost');
}

async function round() {
  if (!state.info || state.info.models.length === 0 || state.rounds % INFO_EVERY === 0) {
    showInfo(await ask('api/info'));
  }
  showLive(await ask('api/live'));
  if (state.rounds % ACCOUNTS_EVERY === 0 && models().length > 0) {
    showAccounts(await ask('api/accounts', { model: modelName(), limit: LIMIT }));
    await explain();
  }
  state.rounds++;
  byId('token-form').hidden = true;
}

async function poll() {
  const since = performance.now();
  try {
    if (!document.hidden) await round();
  } catch (error) {
    state.rounds = 0; // all is asked for anew when there is an answer again
    fail(error);
  }
  state.timer = setTimeout(poll, Math.max(100, POLL_MS - (performance.now() - since)));
}

function again() {
  state.rounds = 0;
}

byId('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, byId('token').value.trim());
  byId('token').value = '';
  byId('token-form').hidden = true;
  again();
});
byId('model').addEventListener('change', again);
window.addEventListener('hashchange', () => {
  const { model: named } = chosen();
  if (named !== byId('model').value && models().some((m) => m.name === named)) {
    byId('model').value = named; // a link is about its own model, whichever is shown
    again();
  } else if (state.survey) {
    showAccounts(state.survey);
  }
  explain().catch(fail);
});
poll();
