// Takes the token from behind the "#", which browsers send to nobody, and sends it with the chosen password.
const setup = location.pathname === '/setup';
const token = location.hash.slice(1);
const element = (id) => document.getElementById(id);
const form = element('form');
const fault = element('fault');

// The token stays in neither the address bar nor the history.
history.replaceState(null, '', location.pathname);

element('title').textContent = setup ? 'Set Sallyport up' : 'Welcome to Sallyport';
document.title = element('title').textContent;
if (token === '') {
  element('lead').textContent = setup
    ? 'Open the whole link that the server printed at its start; a part of it is missing here.'
    : 'Open the whole link of your invitation; a part of it is missing here.';
} else {
  element('lead').textContent = setup ? 'Create the first administrator.' : 'Choose a password.';
  element('submit').textContent = setup ? 'Create the administrator' : 'Set the password';
  element('name-field').hidden = !setup;
  form.hidden = false;
  element(setup ? 'name' : 'password').focus();
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = element('name').value.trim();
  const password = element('password').value;
  fault.textContent = '';
  if (setup && !/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(name)) {
    return refuse('name', 'Choose a user name of lower-case letters, digits, “.”, “_” and “-”.');
  }
  if (password.length < 10) return refuse('password', 'The password needs at least 10 characters.');
  if (password !== element('again').value) return refuse('again', 'The two passwords differ.');
  element('submit').disabled = true;
  try {
    const response = await fetch(setup ? '/api/v1/setup' : '/api/v1/invitations/accept', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(setup ? { token, name, password } : { token, password }),
    });
    const answer = await response.json();
    if (response.ok) return finish(answer.name);
    fault.textContent = answer.detail;
  } catch {
    fault.textContent = 'The server can’t be reached; try again.';
  }
  element('submit').disabled = false;
});

function refuse(id, message) {
  fault.textContent = message;
  element(id).focus();
}

function finish(name) {
  form.hidden = true;
  element('lead').hidden = true;
  element('done-lead').textContent = setup
    ? `The administrator ${name} is created.`
    : `The password of ${name} is set.`;
  element('next').textContent = [
    `sallyport login ${location.origin} --user ${name}`,
    setup ? 'sallyport user create alice && sallyport invitation create alice' : 'sallyport device new',
  ].join('\n');
  element('done-more').textContent = setup
    ? 'The second line adds a user and prints a link like the one that brought you here.'
    : 'The second line adds this computer and prints its WireGuard configuration.';
  element('done').hidden = false;
  element('done').focus();
}
