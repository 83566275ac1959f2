// Renews the numbers every second, and sends what is switched. The server is the only truth.
const all = (selector, root = document) => root.querySelectorAll(selector);
const put = (element, value) => { if (element.textContent !== String(value)) element.textContent = value; };

function show(state) {
  for (const element of all('[data-count]')) {
    const [name, what] = element.dataset.count.split('.');
    put(element, state.counts[name][what]);
    element.parentElement.classList.toggle('some', state.counts[name][what] > 0);
  }
  for (const box of all('[data-line]')) {
    const line = state.lines[box.dataset.line];
    const [mode, percent] = all('select, input', box);
    if (document.activeElement !== mode) mode.value = line.mode;
    if (document.activeElement !== percent) percent.value = line.percent;
    put(box.querySelector('.percent'), percent.value);
    for (const count of all('[data-line-count]', box)) put(count, line[count.dataset.lineCount]);
    box.parentElement.classList.toggle('broken', line.mode !== 'pass');
  }
  const people = document.querySelector('[data-people]');
  people.dataset.people = state.working;
  put(people, state.working ? 'Stop writing' : 'Write on');
  document.getElementById('storm').hidden = !state.storm;
  put(document.getElementById('left'), state.storm ? `${state.storm} s to go.` : '');
}

async function ask(path, body) {
  const post = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
  try {
    const answer = await fetch(path, body && { ...post, body: JSON.stringify(body) });
    document.getElementById('gone').hidden = answer.ok;
    if (answer.ok) show(await answer.json());
  } catch {
    document.getElementById('gone').hidden = false;
  }
}

for (const box of all('[data-line]')) {
  const [mode, percent] = all('select, input', box);
  const turn = () => ask(`/lines/${box.dataset.line}`, { mode: mode.value, percent: Number(percent.value) });
  mode.addEventListener('change', turn);
  percent.addEventListener('change', turn);
  percent.addEventListener('input', () => put(box.querySelector('.percent'), percent.value));
}
for (const button of all('[data-post]')) button.addEventListener('click', () => ask(button.dataset.post, {}));
const people = document.querySelector('[data-people]');
people.addEventListener('click', () => ask('/people', { working: people.dataset.people !== 'true' }));
for (;;) {
  await ask('/state');
  await new Promise((done) => setTimeout(done, 1000));
}
