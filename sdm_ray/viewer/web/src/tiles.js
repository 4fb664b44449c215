/** The tile layer of one side: a layer of a map in its colours, with the pyramid's level by zoom. */
import TileLayer from 'ol/layer/Tile.js';
import ImageTileSource from 'ol/source/ImageTile.js';
import TileGrid from 'ol/tilegrid/TileGrid.js';
import {readAt} from './layers.js';
import {drawTile} from './paint.js';

const SIDE = 256;
const FIRST = 'first tile'; // mark for measurements

/** West, south, east, north of a store's level 0. */
export function extentOf({x0, y1, resolution, width, height}) {
  return [x0, y1 - height * resolution, x0 + width * resolution, y1];
}

/** A layer on an OpenLayers map, which shows what it was last told. */
export class MapTiles {
  /**
   * @param {string} projection of the view.
   * @param {(error: Error) => void} onError hears of tiles that cannot be read.
   * @param {() => void} onTooFine hears of tiles whose layer has no level coarse enough.
   */
  constructor(projection, onError, onTooFine) {
    this.projection = projection;
    this.onError = onError;
    this.onTooFine = onTooFine;
    this.olLayer = new TileLayer({cacheSize: 128});
    this.store = null;
  }

  /**
   * @param {object} shown `{layer, lead, scale, quality: {layer, name, limit, best} | null}`.
   */
  show(shown) {
    this.shown = shown;
    const {layer, lead, scale, quality} = shown;
    const {layer: _, ...mask} = quality ?? {};
    const key = JSON.stringify([layer.store.url, layer.name, lead, {...scale, classes: [...(scale.classes ?? [])]}, mask]);
    if (this.store === layer.store && key === this.key) return;
    this.key = key;
    const source = this.source(layer.store, key);
    this.store = layer.store;
    this.olLayer.setSource(source);
  }

  source(store, key) {
    const grids = store.grids.toReversed();
    const tileGrid = new TileGrid({
      extent: extentOf(store.grids[0]),
      origin: [store.grids[0].x0, store.grids[0].y1],
      resolutions: grids.map(({resolution}) => resolution),
      tileSize: SIDE,
    });
    const shown = this.shown;
    const source = new ImageTileSource({
      tileGrid,
      projection: this.projection,
      interpolate: false,
      transition: 0,
      wrapX: false,
      loader: (z, x, y) => this.load(shown, store.grids.length - 1 - z, x, y),
    });
    source.setKey(key);
    return source;
  }

  async load({layer, lead, scale, quality}, level, x, y) {
    const window = {row: y * SIDE, col: x * SIDE, height: SIDE, width: SIDE};
    try {
      const [values, mask] = await Promise.all([
        readAt(layer, level, lead, window),
        quality ? readAt(quality.layer, level, [], window) : null,
      ]);
      if (!values || (quality && !mask)) this.onTooFine();
      if (values && !performance.getEntriesByName(FIRST).length) performance.mark(FIRST);
      return drawTile(values ?? new Float32Array(SIDE * SIDE).fill(NaN), scale, mask, quality);
    } catch (error) {
      this.onError(error);
      throw error;
    }
  }
}
