// Makes the pages livelier; each works without. No page holds scripts of its own: what this one does it reads
// from data attributes. Start reading at the end.
"use strict";

const root = document.documentElement;

// The theme is chosen before anything is painted.
function theme(name) {
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
}
const kept = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key); } catch { /* private mode */ } },
};
theme(kept.get("theme"));
root.classList.add("scripts");

function themeSwitch(button) {
  const dark = () => getComputedStyle(root).colorScheme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  button.addEventListener("click", () => {
    const want = dark() ? "light" : "dark";
    theme(want);
    kept.set("theme", want);
    draw(true);
  });
}

// Countdowns: the server wrote the text and its own time, so a wrong clock here does not matter.
let ahead = 0; // of the server's clock, in ms
function readClock() {
  const now = Date.parse(document.body.dataset.now);
  if (now) ahead = now - Date.now();
}
function span(ms) {
  const [d, h, m, s] = (document.body.dataset.units || "d h m s").split(" ");
  let left = Math.max(0, Math.round(ms / 1000));
  const days = Math.floor(left / 86400), hours = Math.floor(left / 3600) % 24;
  const minutes = Math.floor(left / 60) % 60, seconds = left % 60;
  if (days) return `${days} ${d} ${hours} ${h}`;
  if (hours) return `${hours} ${h} ${minutes} ${m}`;
  if (minutes) return `${minutes} ${m} ${seconds} ${s}`;
  return `${seconds} ${s}`;
}
function countDown() {
  for (const e of document.querySelectorAll("[data-until]")) {
    const left = Date.parse(e.dataset.until) - Date.now() - ahead;
    e.textContent = left > 0 ? span(left) : e.dataset.done || span(0);
  }
}

// Times are UTC as they come, and local for those who want them so.
function zone() {
  const local = kept.get("zone") === "local";
  const two = (n) => String(n).padStart(2, "0");
  for (const e of document.querySelectorAll("time[datetime]")) {
    const t = new Date(e.dateTime);
    if (isNaN(t)) continue;
    e.textContent = local
      ? `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
      : t.toISOString().slice(0, 19).replace("T", " ");
  }
  for (const b of document.querySelectorAll("[data-switch=zone]")) {
    const minutes = -new Date().getTimezoneOffset();
    b.textContent = !local ? "UTC" : (minutes < 0 ? "-" : "+") + two(Math.floor(Math.abs(minutes) / 60)) + ":" + two(Math.abs(minutes) % 60);
  }
}
function zoneSwitch(button) {
  button.addEventListener("click", () => {
    kept.set("zone", kept.get("zone") ? "" : "local");
    zone();
    draw(true);
  });
}

// Copy buttons for what people paste elsewhere.
function copyButtons() {
  for (const pre of document.querySelectorAll("pre[data-copy]")) {
    if (pre.parentElement.classList.contains("copyable")) continue;
    const box = document.createElement("div"), button = document.createElement("button");
    box.className = "copyable";
    button.type = "button";
    button.textContent = document.body.dataset.copy;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = "✓";
      setTimeout(() => { button.textContent = document.body.dataset.copy; }, 1500);
    });
    pre.replaceWith(box);
    box.append(pre, button);
  }
}

// Charts: each is a table, which stays for those who read it.
function chart(box, again) {
  if (!window.uPlot) return;
  const table = box.querySelector("table");
  const rows = table ? [...table.querySelectorAll("tbody tr")] : [];
  const drawn = box.querySelector(".uplot");
  const text = table ? table.textContent : "";
  if (drawn && !again && box.drawnText === text && drawn.offsetWidth === box.clientWidth) return;
  if (rows.length < 2) return;
  if (drawn) drawn.remove();
  box.drawnText = text;
  const probe = box.appendChild(document.createElement("i"));
  const ink = (name, alpha) => { // what a variable of the style sheet is in this theme
    probe.className = "ink-" + name;
    const rgb = getComputedStyle(probe).color;
    return alpha ? rgb.replace("rgb(", "rgba(").replace(")", `, ${alpha})`) : rgb;
  };
  const heads = [...table.querySelectorAll("thead th")].map((h) => h.textContent);
  const xs = rows.map((r) => Number(r.querySelector("[data-x]").dataset.x));
  const ys = heads.slice(1).map((_, i) => rows.map((r) => {
    const value = r.querySelectorAll("td")[i]?.dataset.y;
    return value === undefined || value === "" ? null : Number(value);
  }));
  const kind = box.dataset.chart, time = xs[0] > 1e8;
  const bars = kind === "bars" ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined;
  const axis = { stroke: ink("text"), grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line") } };
  new uPlot({
    width: box.clientWidth || 600, height: Number(box.dataset.height) || 200,
    scales: { x: { time } },
    tzDate: (ts) => kept.get("zone") === "local" ? new Date(ts * 1e3) : uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
    axes: [axis, { ...axis, size: 60 }],
    legend: { live: true },
    series: [{ label: heads[0] }, ...ys.map((_, i) => ({
      label: heads[i + 1], stroke: ink("s" + (i % 5 + 1)), width: 2, spanGaps: false, paths: bars,
      fill: kind === "line" ? undefined : ink("s" + (i % 5 + 1), 0.35), points: { show: xs.length < 60 && kind !== "bars" },
    }))],
  }, [xs, ...ys], box);
  probe.remove();
  box.classList.add("drawn");
}
function draw(again) { for (const box of document.querySelectorAll("[data-chart]")) chart(box, again); }

// Keyboard: / search, j k rows, Enter opens, r resend, ? help.
function rowStep(step) {
  const rows = [...document.querySelectorAll("tr[data-row]")];
  if (!rows.length) return;
  const at = rows.findIndex((r) => r.classList.contains("here"));
  const to = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  rows.forEach((r) => r.classList.remove("here"));
  to.classList.add("here");
  to.querySelector("a")?.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}
function pressed(event) {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  const act = {
    "/": () => document.querySelector("input[type=search]")?.focus(),
    "j": () => rowStep(1),
    "k": () => rowStep(-1),
    "r": () => {
      const reason = document.querySelector("[data-key=r]");
      const box = reason?.closest("details");
      if (box) box.open = true;
      reason?.focus();
    },
    "?": () => document.getElementById("keys")?.showModal(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

// Live parts: htmx asks for the page again and morphs it. Not while nobody looks, nor while it is paused.
let paused = false;
function pauseSwitch(button) {
  button.hidden = !document.querySelector("[data-live]");
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
  });
}
document.addEventListener("htmx:before:request", (event) => {
  const selected = String(getSelection()) !== "" && event.target.contains(getSelection().anchorNode);
  if (event.target.matches("[data-live]") && (paused || document.hidden || selected)) event.preventDefault();
});
document.addEventListener("htmx:before:response", (event) => {
  const { raw } = event.detail.ctx.response;
  if (raw.redirected) location.reload(); // the session has ended
  if (raw.redirected || !raw.ok) event.preventDefault(); // what is shown stays; the next one may be better
});
document.addEventListener("htmx:after:swap", refresh);

function refresh() {
  readClock();
  copyButtons();
  draw(false);
  countDown();
  zone();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-switch=theme]").forEach(themeSwitch);
  document.querySelectorAll("[data-switch=zone]").forEach(zoneSwitch);
  document.querySelectorAll("[data-switch=pause]").forEach(pauseSwitch);
  document.querySelectorAll("form[data-confirm]").forEach((f) => f.addEventListener("submit", (event) => {
    if (!confirm(f.dataset.confirm)) event.preventDefault();
  }));
  document.querySelectorAll("form.filters").forEach((f) => f.addEventListener("submit", () => {
    for (const e of f.elements) if (e.value === "") e.disabled = true; // keeps the address short
  }));
  document.addEventListener("keydown", pressed);
  addEventListener("resize", () => draw(false));
  addEventListener("pageshow", () => document.querySelectorAll("form.filters [disabled]").forEach((e) => { e.disabled = false; }));
  refresh();
  setInterval(countDown, 1000);
});
