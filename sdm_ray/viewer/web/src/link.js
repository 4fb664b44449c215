/** The view in the page's address, so that a link restores it. */

const NUMBERS = ['x', 'y', 'resolution', 'swipe', 'limit'];
const SIDES = ['', 'b.']; // of the left map, and of the right one where two are compared

/** The state of an address's fragment; empty where it has none. */
export function readLink(hash) {
  const found = new URLSearchParams(hash.replace(/^#/, ''));
  const state = {};
  for (const name of NUMBERS) {
    if (found.has(name) && Number.isFinite(Number(found.get(name)))) state[name] = Number(found.get(name));
  }
  for (const name of ['quality', 'range']) if (found.has(name)) state[name] = found.get(name);
  state.sides = SIDES.map((prefix) => readSide(found, prefix)).filter(Boolean);
  const cell = pairs(found.get('cell'));
  if (cell.length === 1) [state.cell] = cell;
  const zone = pairs(found.get('zone'));
  if (zone.length > 2) state.zone = zone;
  return state;
}

function readSide(found, prefix) {
  if (!found.has(`${prefix}layer`)) return null;
  const at = {};
  for (const [key, value] of found) {
    if (key.startsWith(`${prefix}at.`)) at[key.slice(prefix.length + 3)] = value;
  }
  return {map: found.get(`${prefix}map`) ?? '', layer: found.get(`${prefix}layer`), at};
}

/** The fragment of a state. */
export function writeLink(state) {
  const out = new URLSearchParams();
  for (const name of NUMBERS) if (state[name] != null) out.set(name, String(Number(state[name].toFixed(3))));
  for (const name of ['quality', 'range']) if (state[name]) out.set(name, state[name]);
  for (const [number, side] of state.sides.entries()) {
    const prefix = SIDES[number];
    out.set(`${prefix}map`, side.map);
    out.set(`${prefix}layer`, side.layer);
    for (const [name, label] of Object.entries(side.at)) out.set(`${prefix}at.${name}`, label);
  }
  if (state.cell) out.set('cell', state.cell.map(Math.round).join(' '));
  if (state.zone) out.set('zone', state.zone.map((point) => point.map(Math.round).join(' ')).join(','));
  return `#${out}`;
}

function pairs(text) {
  const found = (text ?? '').split(',').map((pair) => pair.trim().split(/\s+/).map(Number));
  return found.filter((pair) => pair.length === 2 && pair.every(Number.isFinite));
}
