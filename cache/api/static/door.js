// The token is exchanged for a cookie that scripts cannot read; it is kept nowhere.

const form = document.getElementById("door");
const field = document.getElementById("token");
const said = document.getElementById("said");

const WORDS = {
  token_not_configured: "No token is set. Set CACHE_API_TOKEN, start it again, and use that here.",
  token_invalid: "That is not the token that is set.",
  too_many_requests: "Too many tries. Wait a minute.",
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  try {
    const answer = await fetch("/page/session", { method: "POST", headers: { Authorization: `Bearer ${field.value}` } });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const problem = await answer.json();
    said.textContent = WORDS[problem.code] ?? problem.detail;
  } catch {
    said.textContent = "The server does not answer, or the token has characters that none has.";
  }
  field.select();
});
field.focus();
