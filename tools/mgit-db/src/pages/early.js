'use strict';
// Before the page is read: what only programs use is shown, and nothing is laid out twice.
document.documentElement.classList.add('live');
