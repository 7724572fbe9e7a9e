'use strict';
// Texts and arrow heads of what is near enough to be read and in sight; of the rest only boxes and
// lines are drawn, since a browser lays out every text anew at each step of a zoom.
const makeDetail = (canvas) => {
  const AROUND = 0.5;
  let things = [], full = new Set(), seen = null;
  // The span of a path: control points hold a curve between them.
  const spanOf = (line) => {
    const path = line.querySelector('path').getAttribute('d');
    const numbers = path.match(/-?\d+(\.\d+)?/g).map(Number);
    const xs = numbers.filter((_, at) => at % 2 === 0), ys = numbers.filter((_, at) => at % 2);
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  };
  const load = (nodes, boxes, lines) => {
    things = nodes.map((element, place) => {
      const { x, y, w, h } = boxes[place];
      return { element, span: [x, y, x + w, y + h] };
    });
    things.push(...lines.map((element) => ({ element, span: spanOf(element) })));
    full = new Set();
    seen = null;
  };
  const show = (next) => {
    for (const element of full) if (!next.has(element)) element.classList.remove('full');
    for (const element of next) if (!full.has(element)) element.classList.add('full');
    full = next;
  };
  const update = (view, isFar) => {
    if (isFar) {
      show(new Set());
      seen = null;
      return;
    }
    const wide = canvas.clientWidth / view.k, high = canvas.clientHeight / view.k;
    const left = -view.x / view.k, top = -view.y / view.k;
    const isSeen = seen && left >= seen[0] && top >= seen[1] && left + wide <= seen[2] &&
      top + high <= seen[3] && seen[2] - seen[0] < wide * 4;
    if (isSeen) return;
    seen = [left - wide * AROUND, top - high * AROUND, left + wide * (1 + AROUND),
      top + high * (1 + AROUND)];
    show(new Set(things.filter(({ span: [l, t, r, b] }) =>
      l < seen[2] && r > seen[0] && t < seen[3] && b > seen[1]).map((thing) => thing.element)));
  };
  return { load, update };
};
