'use strict';
// Names of constant size, while the boxes' own texts are too small to be read: of as many models
// as fit without overlap, in an order that is given.
const makeNames = (canvas, layer) => {
  const MOST = 220, LETTER = 6.7, HEIGHT = 17, LONGEST = 34, FAR_LONGEST = 24;
  const pool = [];
  let shown = 0, asked = false;
  const textAt = (at) => {
    while (pool.length <= at) {
      const text = document.createElementNS(layer.namespaceURI, 'text');
      layer.append(text);
      pool.push(text);
    }
    return pool[at];
  };
  // Places that are taken, in rows: spans from left to right.
  const makeTaken = () => {
    const rows = new Map();
    const rowsOf = (y) => [Math.floor(y / HEIGHT), Math.floor((y + HEIGHT - 1) / HEIGHT)];
    return (left, right, top) => {
      const both = rowsOf(top);
      for (const row of both) {
        for (const [l, r] of rows.get(row) || []) if (left < r && l < right) return false;
      }
      for (const row of new Set(both)) {
        if (!rows.has(row)) rows.set(row, []);
        rows.get(row).push([left, right]);
      }
      return true;
    };
  };
  const draw = (state) => {
    const { view, isFar, boxes, names, order, strong } = state;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const take = makeTaken();
    const longest = view.k < 0.1 ? FAR_LONGEST : LONGEST;
    let count = 0;
    for (const place of isFar ? order : []) {
      if (count >= MOST) break;
      const box = boxes[place];
      const x = (box.x + box.w / 2) * view.k + view.x, y = (box.y + box.h / 2) * view.k + view.y;
      const half = box.w * view.k / 2;
      if (x + half < 0 || x - half > width || y < 0 || y > height) continue;
      const name = Elements.shortened(names[place], longest);
      const wide = name.length * LETTER / 2 + 5;
      const middle = Math.max(wide, Math.min(width - wide, x));
      if (!take(middle - wide, middle + wide, y - HEIGHT / 2)) continue;
      const text = textAt(count);
      text.setAttribute('x', middle.toFixed(1));
      text.setAttribute('y', (y + 4).toFixed(1));
      text.setAttribute('class', strong.has(place) ? 'strong' : '');
      if (text.textContent !== name) text.textContent = name;
      count += 1;
    }
    for (let at = count; at < shown; at += 1) pool[at].textContent = '';
    shown = count;
  };
  // At most once a frame.
  const update = (state) => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(state); });
  };
  return { update };
};
