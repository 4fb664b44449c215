/** The page: opens the maps that `viewer.json` names, and keeps controls, map, results and link in step. */
import {Canvas, PROJECTION, polygonOf} from './canvas.js';
import {axesOf, cellAt, cellExtent, describeCell} from './cell.js';
import {element} from './controls.js';
import {drawLegend} from './legend.js';
import {SPECIES, groupsOf, hasSpecies, layerOf, leadOf, sampleOf} from './layers.js';
import {readLink, writeLink} from './link.js';
import {bestOf, defaultLimit, scaleOf} from './paint.js';
import {layerControls, qualityControls} from './panel.js';
import {Swipe} from './swipe.js';
import {MapTiles, extentOf} from './tiles.js';
import {StoreError, openStore} from './zarr.js';
import {describeZone, readPolygons, ringsOf} from './zone.js';

const at = (id) => document.getElementById(id);
const state = {sides: [], range: 'auto', quality: '', swipe: 0.5};
let maps = [];
let canvas;
let swipe;
let tiles;

/** One sentence in the page's status line, read by screen readers. */
function say(text, isError = false) {
  at('status').textContent = text;
  at('status').classList.toggle('error', isError);
}

function fail(error) {
  say(error instanceof StoreError ? error.message : `This cannot be shown: ${error.message}`, true);
}

/** Open a map and the stores that belong to it; of the latter, those that cannot be read are left out and named. */
async function openMap({label, url, companions = []}) {
  const first = await openStore({label, url});
  const opened = await Promise.allSettled(companions.map(openStore));
  for (const {reason} of opened) if (reason) say(reason.message, true);
  return {label, title: first.attrs.title ?? label, stores: [first, ...opened.flatMap(({value}) => value ?? [])]};
}

/** A side with what the link asks for, where the map has it. */
function sideOf(asked) {
  const map = maps.find(({label}) => label === asked?.map) ?? maps[0];
  const {key, layer} = layerOf(map, asked?.layer ?? '');
  const side = {map, layer: key, at: {}};
  for (const {name, labels} of layer.lead) side.at[name] = labels.includes(asked?.at[name]) ? asked.at[name] : labels[0];
  return side;
}

function qualityOf(side) {
  const [store] = side.map.stores;
  return state.quality ? store.layers.get(state.quality) : undefined;
}

/** Bring a part of the panel into view. */
function turnTo(id) {
  at(id).closest('section').scrollIntoView({block: 'start'});
}

/** What a side's tiles are drawn with. */
async function shownOf(side) {
  const {layer} = layerOf(side.map, side.layer);
  const lead = leadOf(layer, side.at);
  const quality = qualityOf(side);
  const fits = quality && JSON.stringify(quality.store.grids[0]) === JSON.stringify(layer.store.grids[0]);
  const [sorted, spread] = await Promise.all([sampleOf(layer, lead), fits ? sampleOf(quality, []) : null]);
  const mask = fits && {layer: quality, name: quality.name, best: bestOf(spread), limit: state.limit ?? defaultLimit(quality.name, spread)};
  return {layer, lead, scale: scaleOf(layer, sorted, state.range), quality: mask || null};
}

let drawing = 0;

/** Draw both sides; of changes that come fast only the last one is drawn. */
async function redraw() {
  const mine = ++drawing;
  try {
    const shown = await Promise.all(state.sides.map(shownOf));
    if (mine !== drawing) return;
    say('');
    if (shown[1]) { // values that are compared have one scale
      const [a, b] = shown.map(({scale}) => scale);
      if (!a.classes && !b.classes && shown[0].layer.name === shown[1].layer.name) {
        shown[0].scale = shown[1].scale = {...a, low: Math.min(a.low, b.low), high: Math.max(a.high, b.high)};
      }
    }
    shown.forEach((each, i) => tiles[i].show(each));
    tiles[1].olLayer.setVisible(shown.length > 1);
    if (shown.length > 1) swipe.start(tiles[0].olLayer, tiles[1].olLayer);
    else swipe.stop();
    at('side-names').replaceChildren(...(shown.length > 1 ? state.sides.map((side) => element('span', {}, sideName(side))) : []));
    drawLegend(at('legend'), shown, state, (range) => change({range}));
    qualityControls(at('quality'), state, shown[0].quality, qualitiesOf(), change);
    document.body.dataset.shown = state.sides.map(sideName).join(' | ');
  } catch (error) {
    fail(error);
  }
}

function sideName(side) {
  const {layer} = layerOf(side.map, side.layer);
  const species = hasSpecies(layer) ? [side.at[SPECIES]] : [layer.name.replaceAll('_', ' ')];
  return [...species, ...axesOf(side), ...(maps.length > 1 ? [side.map.label] : [])].join(', ');
}

function qualitiesOf() {
  const quality = groupsOf(state.sides[0].map).find(([group]) => group === 'Quality')?.[1] ?? [];
  return quality.map(({layer}) => layer);
}

/** Take a change of the state over into controls, map and link. */
function change(changed, isLayout = false) {
  Object.assign(state, changed);
  if (isLayout) layoutControls();
  const drawn = redraw();
  updateLink();
  if (changed.sides && state.cell) readCellAt(state.cell);
  if (changed.sides && state.zone) readZone(polygonOf(state.zone));
  return drawn;
}

function layoutControls() {
  layerControls(at('layers'), state, maps, (sides, isLayout) => change({sides}, isLayout));
}

function updateLink() {
  if (!canvas) return;
  const view = canvas.olMap.getView();
  const [x, y] = view.getCenter();
  const sides = state.sides.map(({map, layer, at: chosen}) => ({map: map.label, layer, at: chosen}));
  const swiped = state.sides.length > 1 ? Number(at('swipe').value) : null;
  const link = writeLink({...state, sides, x, y, resolution: view.getResolution(), swipe: swiped});
  history.replaceState(null, '', link);
}

async function readCellAt(place) {
  state.cell = place;
  updateLink();
  say('Reading the cell …');
  const found = await describeCell(state.sides, place).catch(fail);
  if (found === undefined) return;
  const [grid] = state.sides[0].map.stores[0].grids;
  const cell = cellAt(grid, place);
  canvas.mark(cell && cellExtent(grid, cell));
  at('cell').replaceChildren(found ?? element('p', {}, 'This place lies outside the map.'));
  say(at('cell').querySelector('h3')?.textContent ?? 'This place lies outside the map.');
}

async function readZone(geometry) {
  const rings = ringsOf(geometry);
  state.zone = rings.length === 1 ? rings[0] : null; // only one ring fits into a link
  canvas.showZone(geometry);
  updateLink();
  say('Reading the zone …');
  const found = await describeZone(state.sides, rings).catch(fail);
  if (!found) return;
  at('zone').replaceChildren(found);
  say('The figures of the zone are in the panel.');
}

function clearZone() {
  state.zone = null;
  canvas.showZone(null);
  at('zone').replaceChildren();
  updateLink();
}

function listen() {
  const {olMap} = canvas;
  olMap.on('singleclick', ({coordinate}) => {
    if (!canvas.isDrawing()) readCellAt(coordinate).then(() => turnTo('cell'));
  });
  olMap.on('moveend', updateLink);
  at('map').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.target === at('map')) readCellAt(olMap.getView().getCenter()).then(() => turnTo('cell'));
  });
  at('swipe').addEventListener('input', updateLink);
  at('draw').addEventListener('click', async () => {
    say('Click the corners of the zone on the map; a double click ends it, Escape gives up.');
    const geometry = await canvas.draw();
    if (geometry) readZone(geometry).then(() => turnTo('zone'));
    else say('');
  });
  at('load').addEventListener('change', async ({target}) => {
    try {
      const geometry = readPolygons(await target.files[0].text(), PROJECTION);
      olMap.getView().fit(geometry, {padding: [40, 40, 40, 40]});
      await readZone(geometry);
      turnTo('zone');
    } catch (error) {
      say(error.message, true);
    }
    target.value = '';
  });
  at('clear').addEventListener('click', clearZone);
  at('whole').addEventListener('click', () => canvas.goTo({}));
  at('copy').addEventListener('click', () => {
    navigator.clipboard?.writeText(location.href).then(() => say('The link is on the clipboard.'), () => say(location.href));
  });
  addEventListener('hashchange', () => restore(readLink(location.hash)));
}

/** Show what a link says. */
function restore(link) {
  const sides = [sideOf(link.sides[0]), ...link.sides.slice(1).map(sideOf)];
  const cleared = {quality: '', range: 'auto', limit: undefined, cell: undefined, zone: undefined};
  Object.assign(state, cleared, link, {sides});
  if (link.swipe != null) at('swipe').value = link.swipe;
  canvas.goTo(link);
  return change({sides}, true);
}

async function start() {
  const response = await fetch('viewer.json');
  if (!response.ok) throw new StoreError('viewer.json, which names the maps, is missing beside this page.');
  const config = await response.json();
  const opened = await Promise.allSettled(config.maps.map(openMap));
  maps = opened.flatMap(({value}) => value ?? []);
  const problems = opened.flatMap(({reason}) => reason ?? []);
  if (!maps.length) throw problems[0];
  const [store] = maps[0].stores;
  at('title').textContent = document.title = maps[0].title;
  at('sources').textContent = (store.attrs.sources ?? []).join('; ');
  const extent = extentOf(store.grids[0]);
  canvas = new Canvas(at('map'), extent, store.grids[0].resolution);
  const tooFine = () => say('This layer has no coarser levels: zoom in to see it.');
  tiles = [2, 1].map((zIndex) => {
    const made = new MapTiles(PROJECTION, fail, tooFine);
    made.olLayer.setZIndex(zIndex);
    canvas.olMap.addLayer(made.olLayer);
    return made;
  });
  swipe = new Swipe(canvas.olMap, at('swipe'), at('line'));
  listen();
  await restore(readLink(location.hash));
  for (const problem of problems) fail(problem);
  canvas.olMap.once('rendercomplete', () => {
    performance.mark('drawn');
    document.body.dataset.ready = 'true';
    if (config.borders) canvas.showBorders(config.borders).catch(() => {}); // takes seconds where they are made first
  });
  canvas.olMap.render();
}

start().catch((error) => {
  fail(error);
  document.body.dataset.ready = 'failed';
});
