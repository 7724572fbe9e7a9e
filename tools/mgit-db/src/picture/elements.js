'use strict';
// Elements out of text: text is never read as elements.
const Elements = (() => {
  // Control characters and marks that turn the direction of text are shown as escapes.
  const shown = (text) => text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === 'onclick') element.addEventListener('click', value);
      else if (key === 'class') element.className = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null)
      .map((child) => typeof child === 'string' ? shown(child) : child));
    return element;
  };
  const bytes = (count) => {
    if (count < 1024) return `${count} B`;
    let unit = -1;
    while (count >= 1023.995 && unit < 5) { count /= 1024; unit += 1; }
    return `${count.toFixed(2)} ${['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][unit]}`;
  };
  const plain = (value) => typeof value === 'string' ? value : JSON.stringify(value);
  // The middle goes, since names differ at their ends.
  const shortened = (text, max) => {
    const all = [...text];
    if (all.length <= max) return text;
    const tail = Math.floor(max / 2);
    return `${all.slice(0, max - tail - 1).join('')}\u2026${all.slice(-tail).join('')}`;
  };
  const byId = (id) => document.getElementById(id);
  return { shown, make, bytes, plain, shortened, byId };
})();
