/** The OpenLayers map: land, borders, the shown layers, and what is marked on them. */
import GeoJSON from 'ol/format/GeoJSON.js';
import Feature from 'ol/Feature.js';
import OlMap from 'ol/Map.js';
import View from 'ol/View.js';
import Polygon, {fromExtent} from 'ol/geom/Polygon.js';
import {defaults as controls} from 'ol/control/defaults.js';
import MousePosition from 'ol/control/MousePosition.js';
import ScaleLine from 'ol/control/ScaleLine.js';
import Draw from 'ol/interaction/Draw.js';
import VectorLayer from 'ol/layer/Vector.js';
import VectorSource from 'ol/source/Vector.js';
import {get as projectionOf, toLonLat} from 'ol/proj.js';
import {register} from 'ol/proj/proj4.js';
import Fill from 'ol/style/Fill.js';
import Stroke from 'ol/style/Stroke.js';
import Style from 'ol/style/Style.js';
import proj4 from 'proj4';

export const PROJECTION = 'EPSG:3035';
proj4.defs(PROJECTION, '+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs');
register(proj4);
projectionOf(PROJECTION).setExtent([900000, 900000, 7400000, 5500000]);

const dark = matchMedia('(prefers-color-scheme: dark)');

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** The map in an element, and how its parts are reached. */
export class Canvas {
  constructor(target, extent, finest) {
    this.land = new VectorSource();
    this.marked = new VectorSource();
    this.drawn = new VectorSource();
    this.landLayer = new VectorLayer({source: this.land, zIndex: 0});
    this.borderLayer = new VectorLayer({source: this.land, zIndex: 10});
    this.markLayer = new VectorLayer({source: new VectorSource(), zIndex: 20});
    this.zoneLayer = new VectorLayer({source: this.drawn, zIndex: 15});
    this.markLayer.setSource(this.marked);
    const position = (place) => {
      const [lon, lat] = toLonLat(place, PROJECTION);
      return `${lat.toFixed(3)}° N ${lon.toFixed(3)}° E`;
    };
    const [west, south, east, north] = extent;
    const margin = Math.max(east - west, north - south) / 2;
    this.olMap = new OlMap({
      target,
      keyboardEventTarget: target,
      controls: controls({attribution: false, rotate: false}).extend([
        new ScaleLine(),
        new MousePosition({coordinateFormat: position, projection: PROJECTION, placeholder: ''}),
      ]),
      layers: [this.landLayer, this.borderLayer, this.zoneLayer, this.markLayer],
      view: new View({
        projection: PROJECTION,
        extent: [west - margin, south - margin, east + margin, north + margin],
        minResolution: finest / 16,
        enableRotation: false,
        showFullExtent: true,
      }),
    });
    this.extent = extent;
    this.restyle();
    dark.addEventListener('change', () => this.restyle());
  }

  /** The whole map, or a place at metres a pixel. */
  goTo({x, y, resolution}) {
    const view = this.olMap.getView();
    if (x == null || y == null || !resolution) view.fit(this.extent, {size: this.olMap.getSize(), padding: [24, 24, 24, 24]});
    else {
      view.setCenter([x, y]);
      view.setResolution(resolution);
    }
  }

  async showBorders(url) {
    const response = await fetch(url);
    if (!response.ok) return;
    const features = new GeoJSON({dataProjection: PROJECTION}).readFeatures(await response.json(), {
      featureProjection: PROJECTION,
    });
    this.land.addFeatures(features);
  }

  restyle() {
    const colour = colours();
    this.landLayer.setStyle(new Style({fill: new Fill({color: colour('land')})}));
    this.borderLayer.setStyle(new Style({stroke: new Stroke({color: colour('border'), width: 0.8})}));
    const outline = (name, width) => new Stroke({color: colour(name), width});
    this.markLayer.setStyle([new Style({stroke: outline('halo', 5)}), new Style({stroke: outline('mark', 2.5)})]);
    this.zoneLayer.setStyle([new Style({stroke: outline('halo', 4)}), new Style({stroke: outline('mark', 2)})]);
  }

  mark(extent) {
    this.marked.clear();
    if (extent) this.marked.addFeature(new Feature(fromExtent(extent)));
  }

  showZone(geometry) {
    this.drawn.clear();
    if (geometry) this.drawn.addFeature(new Feature(geometry));
  }

  /** Let a polygon be drawn; resolves with its geometry, or null once drawing is given up. */
  draw() {
    this.showZone(null);
    return new Promise((resolve) => {
      const draw = new Draw({type: 'Polygon', source: this.drawn});
      const end = (geometry) => {
        removeEventListener('keydown', giveUp);
        setTimeout(() => this.olMap.removeInteraction(draw)); // else the last double click zooms in
        resolve(geometry);
      };
      const giveUp = (event) => event.key === 'Escape' && end(null);
      draw.on('drawend', ({feature}) => end(feature.getGeometry()));
      addEventListener('keydown', giveUp);
      this.olMap.addInteraction(draw);
      this.drawing = draw;
    });
  }

  isDrawing() {
    return Boolean(this.drawing && this.olMap.getInteractions().getArray().includes(this.drawing));
  }
}

/** A polygon of one ring. */
export function polygonOf(ring) {
  return new Polygon([ring]);
}
