"""The page behind set-up, invite, password and sign-in links, for as long as there is no other client at hand.

One page for all of them. The code stands behind `#`, which browsers keep to themselves, and the page calls the Web API
as any client does.
"""

from __future__ import annotations

import base64
import hashlib

#: path → what its page is called, the method that it calls, and the fields that the method wants.
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "/setup": ("Set up Roost", "auth.signup", ("name", "email", "password")),
    "/join": ("Join Roost", "auth.signup", ("name", "email", "password")),
    "/signin": ("Sign in to Roost", "auth.exchange", ()),
    "/password": ("Choose a new password", "auth.resetPassword", ("password",)),
}

_FIELDS = {
    "name": '<label>Name <input name="name" required maxlength="80" autocomplete="username"></label>',
    "email": '<label>E-mail <input name="email" type="email" required autocomplete="email"></label>',
    "password": '<label>Password <input name="password" type="password" required minlength="8"'
    ' autocomplete="new-password"></label>',
}

_SCRIPT = """
const form = document.querySelector("form"), said = document.querySelector("output");
const why = {
  invalid_code: "This link is not valid any more. Ask for a new one.",
  weak_password: "Choose a password of at least 8 characters that is not a common one.",
  name_taken: "That name is taken.", already_in_team: "Somebody has that e-mail address already.",
  invalid_email: "That is not an e-mail address.", ratelimited: "Too many tries. Wait a while.",
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form));
  body.set("code", location.hash.slice(1));
  body.set("tz", Intl.DateTimeFormat().resolvedOptions().timeZone || "");
  try {
    const response = await fetch("/api/" + form.dataset.method, {method: "POST", body});
    const answer = await response.json();
    if (!answer.ok) { said.textContent = why[answer.error] || "That did not work: " + answer.error; return; }
    history.replaceState(null, "", location.pathname);
    form.hidden = true;
    said.textContent = "Welcome, " + answer.user.name + ". In a terminal: /login " + answer.token;
  } catch { said.textContent = "The server did not answer. Try again."; }
});
"""

_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{_HASH}'; style-src 'unsafe-inline'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(path: str) -> str:
    """The page of a path of `PAGES`."""
    title, method, fields = PAGES[path]
    inputs = "\n".join(_FIELDS[field] for field in fields)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit }}
input, button {{ padding: .5rem; margin: .25rem 0 1rem }} output {{ overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<form data-method="{method}">
{inputs}
<button>{title}</button>
</form>
<output role="status"></output>
<script>{_SCRIPT}</script>
</html>
"""
