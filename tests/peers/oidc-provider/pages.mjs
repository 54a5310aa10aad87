// Plain pages: no script, so that a test's HTTP client can do what a browser would.

export function page(title, body, problem) {
  const said = problem ? `<p role="alert">${escape(problem)}</p>` : '';
  return `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><h1>${escape(title)}</h1>
${said}${body}
</html>`;
}

export function form(action, fields) {
  const inputs = fields.map((name) => `<label>${name} <input name="${name}" required></label>`);
  return `<form method="post" action="${escape(action)}">${inputs.join('')}
<button type="submit">Continue</button>
<button type="submit" name="abort" value="yes" formnovalidate>Cancel</button>
</form>`;
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
