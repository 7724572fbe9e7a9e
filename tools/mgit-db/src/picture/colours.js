'use strict';
// Colours by what is picked, with a legend. The colours themselves are rules of the style: classes
// c0 to c11 for words, s0 to s6 for numbers.
const Colours = (() => {
  const WORDS = 12, STEPS = 7;
  const first = (name) => {
    const slash = name.indexOf('/');
    return slash > 0 ? name.slice(0, slash) : name.split(/[-_.@]/)[0];
  };
  const day = (ms) => new Date(Math.min(ms, 8.64e15)).toISOString().slice(0, 10);
  const results = { true: 'passed', false: 'failed', null: 'no result' };
  // Each tells of a node a word or a number.
  const WAYS = {
    kind: { name: 'kind', word: (node) => node.kind || 'no kind' },
    size: { name: 'size', number: (node) => node.bytes, show: Elements.bytes },
    age: { name: 'age', number: (node) => node.ms, show: day },
    how: { name: 'derivation', word: (node) => node.how },
    tests: { name: 'tests', word: (node) => results[String(node.passed)],
      fixed: { passed: 'good', failed: 'bad', 'no result': 'none' } },
    first: { name: 'first part of the name', word: (node) => first(node.name) },
    depth: { name: 'depth', number: (node) => node.depth, show: String },
  };
  const byWords = (nodes, way) => {
    const counts = new Map();
    const words = nodes.map(way.word);
    words.forEach((word) => counts.set(word, (counts.get(word) || 0) + 1));
    // As the picture was drawn: what most have comes first, then by the word.
    const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    const classes = new Map();
    let next = 0;
    for (const [word] of sorted) {
      const none = word === 'no kind';
      const fixed = way.fixed && way.fixed[word];
      classes.set(word, fixed || (none || next >= WORDS ? 'none' : `c${next}`));
      if (!fixed && !none) next += 1;
    }
    const legend = sorted.filter(([word]) => classes.get(word) !== 'none' || way.fixed)
      .map(([word, count]) => ({ kind: classes.get(word), word, count }));
    const listed = new Set(legend.map((entry) => entry.word));
    const rest = sorted.filter(([word]) => !listed.has(word));
    if (rest.length) {
      const count = rest.reduce((sum, entry) => sum + entry[1], 0);
      const word = rest.length === 1 ? rest[0][0] : `${rest.length} others`;
      legend.push({ kind: 'none', word, count });
    }
    return { classes: words.map((word) => classes.get(word)), legend };
  };
  const byNumbers = (nodes, way) => {
    const numbers = nodes.map(way.number);
    const distinct = [...new Set(numbers)].sort((a, b) => a - b);
    const steps = Math.min(STEPS, distinct.length);
    // Steps with as many distinct values each.
    const stepOf = new Map(distinct.map((number, at) =>
      [number, Math.floor(at * steps / distinct.length)]));
    const spread = (step) => steps < 2 ? 3 : Math.round(step * (STEPS - 1) / (steps - 1));
    const legend = Array.from({ length: steps }, (_, step) => {
      const those = distinct.filter((number) => stepOf.get(number) === step);
      const ends = [way.show(those[0]), way.show(those[those.length - 1])];
      const count = numbers.filter((number) => stepOf.get(number) === step).length;
      const word = ends[0] === ends[1] ? ends[0] : `${ends[0]} \u2013 ${ends[1]}`;
      return { kind: `s${spread(step)}`, word, count };
    });
    return { classes: numbers.map((number) => `s${spread(stepOf.get(number))}`), legend };
  };
  const paint = (elements, nodes, key) => {
    const way = WAYS[key] || WAYS.kind;
    const { classes, legend } = way.word ? byWords(nodes, way) : byNumbers(nodes, way);
    elements.forEach((element, place) => {
      const own = /^([cs]\d+|good|bad|none)$/;
      const others = [...element.classList].filter((name) => !own.test(name));
      const wanted = [...others, classes[place]].join(' ');
      if (element.getAttribute('class') !== wanted) element.setAttribute('class', wanted);
    });
    return { classes, legend };
  };
  return { WAYS, paint };
})();
