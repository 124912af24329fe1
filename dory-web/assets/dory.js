"use strict";
// Everything works without this file; it only makes waiting shorter.

// Ages go on while a page is open.
function age(seconds) {
  const past = seconds >= 0;
  const s = Math.abs(seconds);
  if (s < 10) return "just now";
  const [count, unit] =
    s < 90 ? [s, "s"] : s < 5400 ? [s / 60, "min"] : s < 129600 ? [s / 3600, "h"] : [s / 86400, "days"];
  const words = `${Math.round(count)} ${unit}`;
  return past ? `${words} ago` : `in ${words}`;
}
function refreshAges() {
  for (const time of document.querySelectorAll("time[data-age]")) {
    time.textContent = age((Date.now() - Date.parse(time.dateTime)) / 1000);
  }
}
setInterval(refreshAges, 15000);

// A run tells how far it is.
const run = document.querySelector("[data-events]");
if (run) {
  const source = new EventSource(run.dataset.events);
  const text = (name, value) => {
    const place = run.querySelector(`[data-live=${name}]`);
    if (place) place.textContent = value;
  };
  const offline = document.querySelector("#offline");
  source.onopen = () => { offline.hidden = true; };
  source.onerror = () => { offline.hidden = false; };
  source.onmessage = (message) => {
    const state = JSON.parse(message.data);
    if (state.over) { source.close(); location.reload(); return; }
    text("phase", state.phase);
    text("words", state.words);
    const bar = run.querySelector("progress");
    if (bar && state.share !== null) bar.value = state.share; else if (bar) bar.removeAttribute("value");
    const log = run.querySelector("[data-live=log]");
    if (log && state.log.length) {
      const below = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
      log.textContent = state.log.join("\n");
      if (below) log.scrollTop = log.scrollHeight;
    }
  };
  addEventListener("pagehide", () => source.close());
}

// A choice that changes what is shown takes effect at once.
for (const choice of document.querySelectorAll("select[data-submit]")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

// What is deleted for good is typed first; the button wakes up with it.
for (const field of document.querySelectorAll("input[data-expects]")) {
  const button = field.form.querySelector("button");
  const check = () => { button.disabled = field.value !== field.dataset.expects; };
  field.addEventListener("input", check);
  check();
}
