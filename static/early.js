// The form stands in the page from the start; where another screen is asked for, it would flash up.
if (!/^(#capture.*)?$/.test(location.hash)) document.documentElement.dataset.elsewhere = '';

// Until Python has come up (a moment; on a first visit some seconds) nobody would hear a Save.
// It is remembered on the form, said so, and done first of all by py/app/shell.py.
addEventListener('submit', (event) => {
  if (document.documentElement.dataset.app === 'ready') return;
  event.preventDefault();
  event.target.dataset.early = 'save';
  const note = document.getElementById(`${event.target.id}-note`);
  if (note) note.textContent = 'Saving…';
});
