'use strict';
// The page of a model: a button beside each line that can be copied.
(() => {
  const { make } = Elements;
  document.querySelectorAll('.ways dd').forEach((line) => {
    const code = line.querySelector('code');
    const mark = () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    };
    const button = make('button', { class: 'copy', onclick: async () => {
      // A page that was not asked for by a safe way has no clipboard: the line is marked then.
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = 'Copied';
      } catch {
        mark();
        button.textContent = 'Press Ctrl+C';
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    } }, 'Copy');
    line.append(button);
  });
  document.documentElement.dataset.ready = 'yes';
})();
