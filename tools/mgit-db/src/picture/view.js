'use strict';
// Moving and zooming. `changed` is told whenever what is to be seen is another.
const makeView = (canvas, world, changed) => {
  const NEAREST = 4, FARTHEST = 0.005, PAD = 30;
  const view = { x: 0, y: 0, k: 1 };
  let size = { w: 1, h: 1 }, fitted = true, fit = { k: 1 };
  const apply = () => {
    world.setAttribute('transform', `translate(${view.x} ${view.y}) scale(${view.k})`);
    changed(view);
  };
  const fitAll = () => {
    const box = canvas.getBoundingClientRect();
    const k = Math.min((box.width - 2 * PAD) / (size.w || 1),
      (box.height - 2 * PAD) / (size.h || 1));
    view.k = Math.max(FARTHEST, Math.min(1.25, k));
    view.x = (box.width - size.w * view.k) / 2;
    view.y = (box.height - size.h * view.k) / 2;
    fit = { ...view };
    fitted = true;
    apply();
  };
  const zoom = (factor, x, y) => {
    const box = canvas.getBoundingClientRect();
    const cx = x === undefined ? box.width / 2 : x - box.left;
    const cy = y === undefined ? box.height / 2 : y - box.top;
    const k = Math.max(Math.min(FARTHEST, fit.k), Math.min(NEAREST, view.k * factor));
    view.x = cx - (cx - view.x) * k / view.k;
    view.y = cy - (cy - view.y) * k / view.k;
    view.k = k;
    fitted = false;
    apply();
  };
  // Puts a box into the middle; near enough to be read, where that is asked for. A picture that can
  // be read as a whole stays whole.
  const centre = (rect, isNear) => {
    if (fitted) fitAll();
    if (fitted && view.k >= 0.7) return;
    const box = canvas.getBoundingClientRect();
    view.k = isNear && view.k < 0.7 ? 0.9 : view.k;
    view.x = box.width / 2 - (rect.x + rect.w / 2) * view.k;
    view.y = box.height / 2 - (rect.y + rect.h / 2) * view.k;
    fitted = false;
    apply();
  };
  const move = (dx, dy) => {
    view.x += dx;
    view.y += dy;
    fitted = false;
    apply();
  };
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    zoom(Math.exp(-step / 400), event.clientX, event.clientY);
  }, { passive: false });

  const held = new Map();
  let moved = 0;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = 0;
  });
  // A link that is dragged with the picture is not dragged away.
  canvas.addEventListener('dragstart', (event) => event.preventDefault());
  canvas.addEventListener('pointermove', (event) => {
    const last = held.get(event.pointerId);
    if (!last) return;
    const dx = event.clientX - last.x, dy = event.clientY - last.y;
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 4) return;
    if (!canvas.hasPointerCapture(event.pointerId)) canvas.setPointerCapture(event.pointerId);
    canvas.classList.add('moving');
    const other = [...held].find(([id]) => id !== event.pointerId);
    if (other) {
      const [, o] = other;
      const before = Math.hypot(last.x - o.x, last.y - o.y) || 1;
      const now = Math.hypot(event.clientX - o.x, event.clientY - o.y) || 1;
      zoom(now / before, o.x, o.y);
    } else {
      move(dx, dy);
    }
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  const release = (event) => {
    held.delete(event.pointerId);
    canvas.classList.remove('moving');
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  window.addEventListener('resize', () => { if (fitted) fitAll(); else apply(); });
  return { view, fitAll, zoom, centre, move, apply, wasMoved: () => moved >= 4,
    setSize: (w, h) => { size = { w, h }; } };
};
