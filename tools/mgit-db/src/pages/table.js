'use strict';
// Tables: sorted by the column whose head is clicked; filtered by words.
const Tables = (() => {
  const { byId } = Elements;
  const valueOf = (cell) => {
    if (!cell) return '';
    const text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const compare = (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === 'number' ? -1 : 1;
  };
  const sort = (table, column, descends) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
    rows.sort((a, b) => descends ? compare(b[0], a[0]) : compare(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      if (at === column) head.setAttribute('aria-sort', descends ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
  };
  const sortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const turn = () => {
        const is = head.getAttribute('aria-sort');
        // Numbers are looked at from the largest on.
        const first = head.classList.contains('number');
        sort(table, column, is === null ? first : is === 'ascending');
      };
      head.setAttribute('tabindex', '0');
      head.addEventListener('click', turn);
      head.addEventListener('keydown', (event) => { if (event.key === 'Enter') turn(); });
    });
  };
  // Rows whose first cell has all the words; how many there are.
  const filter = (table, text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const name = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every((word) => name.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    return shown;
  };
  document.documentElement.classList.add('live');
  document.querySelectorAll('table.sorted').forEach(sortable);
  document.querySelectorAll('input[data-filter]').forEach((input) => {
    const table = byId(input.dataset.filter);
    const output = input.form.querySelector('output');
    const begin = input.value, told = output.textContent;
    input.addEventListener('input', () => {
      // What the server has filtered is not filtered by the rest again.
      const shown = filter(table, input.value.startsWith(begin) ? input.value : '');
      const all = table.tBodies[0].rows.length;
      output.textContent = input.value === begin ? told : `${shown} of ${all} shown here`;
    });
  });
  return { sort, sortable, filter };
})();
