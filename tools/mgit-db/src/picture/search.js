'use strict';
// Searching: hits are listed, and Enter goes from one to the next. `changed` is told of the hits,
// `null` when nothing is searched for; `go` is asked to go to one.
const makeSearch = (changed, go) => {
  const { byId, make } = Elements;
  const LISTED = 200;
  const search = byId('search'), found = byId('found'), list = byId('hits');
  let haystack = [], names = [], hits = [], at = -1;
  const tell = () => {
    const words = search.value.trim();
    found.textContent = !words ? '' : at < 0 ? `${hits.length} found` :
      `${at + 1} of ${hits.length}`;
    [...list.children].forEach((item, place) => item.classList.toggle('on', place === at));
    const on = list.children[at];
    if (on && at < LISTED) on.scrollIntoView({ block: 'nearest' });
  };
  const goTo = (next) => {
    at = next;
    tell();
    go(hits[at]);
  };
  const showList = (is) => { list.hidden = !is || !hits.length || !search.value.trim(); };
  const fill = () => {
    list.replaceChildren(...hits.slice(0, LISTED).map((place, nth) => make('li', {},
      make('button', { tabindex: '-1', onclick: () => { goTo(nth); showList(false); } },
        names[place]))));
    if (hits.length > LISTED) {
      list.append(make('li', { class: 'rest' }, `and ${hits.length - LISTED} more`));
    }
  };
  const run = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    if (words.length) {
      haystack.forEach((text, place) => {
        if (words.every((word) => text.includes(word))) hits.push(place);
      });
      // A name that is what was typed, or begins so, comes first.
      const typed = search.value.trim().toLowerCase();
      const rank = (place) => names[place].toLowerCase().startsWith(typed) ? 0 :
        names[place].toLowerCase().includes(typed) ? 1 : 2;
      hits = hits.map((place) => [rank(place), place])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
    }
    at = -1;
    fill();
    tell();
    changed(words.length ? hits : null);
  };
  search.addEventListener('input', () => { run(); showList(true); });
  search.addEventListener('click', () => showList(true));
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && hits.length) {
      const step = event.shiftKey ? -1 : 1;
      goTo(at < 0 ? 0 : (at + step + hits.length) % hits.length);
      showList(false);
    }
    if (event.key === 'ArrowDown') showList(true);
    if (event.key === 'Escape') {
      search.value = '';
      run();
      showList(false);
      search.blur();
    }
    event.stopPropagation();
  });
  document.addEventListener('pointerdown', (event) => {
    if (!event.target.closest || !event.target.closest('.seek')) showList(false);
  });
  // What there is to be found.
  const load = (nodes) => {
    names = nodes.map((node) => node.name);
    haystack = nodes.map((node) => [node.name, node.kind, node.id, ...node.tags,
      node.meta ? JSON.stringify(node.meta) : ''].join('\n').toLowerCase());
    if (search.value) run();
  };
  return { load, focus: () => search.focus() };
};
