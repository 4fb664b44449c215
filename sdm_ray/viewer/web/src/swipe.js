/** Two layers beside each other, parted by a line that a range field moves. */
import {getRenderPixel} from 'ol/render.js';
import {unByKey} from 'ol/Observable.js';

/** Show `left` on the left of the line and `right` on its right. */
export class Swipe {
  /**
   * @param {import('ol/Map.js').default} olMap both layers lie on.
   * @param {HTMLInputElement} slider from 0 to 1.
   * @param {HTMLElement} line is moved with it.
   */
  constructor(olMap, slider, line) {
    this.olMap = olMap;
    this.slider = slider;
    this.line = line;
    this.keys = [];
    slider.addEventListener('input', () => this.move());
  }

  start(left, right) {
    this.stop();
    const clip = (side) => (event) => {
      const {context} = event;
      const [width, height] = this.olMap.getSize();
      const middle = width * Number(this.slider.value);
      const [from, to] = side === 'left' ? [0, middle] : [middle, width];
      const corners = [[from, 0], [to, 0], [to, height], [from, height]].map((each) => getRenderPixel(event, each));
      context.save();
      context.beginPath();
      corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.clip();
    };
    for (const [layer, side] of [[left, 'left'], [right, 'right']]) {
      this.keys.push(layer.on('prerender', clip(side)), layer.on('postrender', (event) => event.context.restore()));
    }
    this.slider.hidden = this.line.hidden = false;
    this.move();
  }

  stop() {
    unByKey(this.keys);
    this.keys = [];
    this.slider.hidden = this.line.hidden = true;
  }

  move() {
    this.line.style.left = `${Number(this.slider.value) * 100}%`;
    this.olMap.render();
  }
}
