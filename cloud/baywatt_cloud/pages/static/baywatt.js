"use strict";
const $ = (query, root = document) => root.querySelector(query);
const $$ = (query, root = document) => [...root.querySelectorAll(query)];

function toast(text) {
  $("#toast").textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { $("#toast").textContent = ""; }, 6000);
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
}

async function call(method, url, body) {
  const headers = { "Idempotency-Key": newKey() };
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("No connection. Nothing was changed; try again.");
  }
  const found = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error(found.detail || found.title || "That did not work.");
  return found;
}

/* A command is only done when the site has answered it. */
async function commandDone(id) {
  for (let i = 0; i < 60; i += 1) {
    const command = await call("GET", `/charging/commands/${id}`);
    if (command.status === "done") return command;
    if (command.status !== "pending") throw new Error(command.reason || `The site has not answered (${command.status}).`);
    await new Promise((wake) => setTimeout(wake, 1000));
  }
  throw new Error("The site has not answered yet.");
}

async function act(button) {
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  button.disabled = true;
  try {
    const body = button.dataset.body ? JSON.parse(button.dataset.body) : undefined;
    const found = await call(button.dataset.method || "POST", button.dataset.act, body);
    if (found.command_id) {
      toast("Asking the site…");
      const command = await commandDone(found.command_id);
      if (command.session_id && button.dataset.go === "session") {
        location.href = `/sessions/${command.session_id}`;
        return;
      }
    }
    toast(button.dataset.done || "Done.");
    refreshAll();
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) act(button);
  if (event.target.closest("#near")) findMe();
});

function findMe() {
  if (!navigator.geolocation) { toast("This browser does not tell its place."); return; }
  navigator.geolocation.getCurrentPosition(
    (found) => {
      const place = new URLSearchParams({ lat: found.coords.latitude.toFixed(5), lon: found.coords.longitude.toFixed(5) });
      location.href = `/?${place}`;
    },
    () => toast("The place could not be found."),
  );
}

/* Fragments are rendered by the server and swapped when they differ. */
async function refresh(part) {
  try {
    const answer = await fetch(part.dataset.refresh);
    if (answer.status !== 200) return;
    const html = await answer.text();
    if (html !== part.dataset.last && !part.contains(document.activeElement?.closest?.("button:disabled"))) {
      part.innerHTML = html;
      part.dataset.last = html;
    }
    part.classList.remove("stale");
  } catch {
    part.classList.add("stale");
  }
}
const refreshAll = () => $$("[data-refresh]").forEach(refresh);
setInterval(() => { if (!document.hidden) refreshAll(); }, 2000);

/* Booking: the price follows every change of the form. */
function money(minor, currency) {
  return new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency }).format(
    minor / 10 ** new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits,
  );
}

function bookingForm(form) {
  const price = $("#price");
  const start = form.elements.start;
  const begin = new Date(Math.ceil(Date.now() / 60000) * 60000);
  start.value = new Date(begin - begin.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  let latest = "";
  let quoting = null;
  function wanted() {
    const from = new Date(start.value);
    if (Number.isNaN(from.getTime())) return null;
    const to = new Date(from.getTime() + form.elements.minutes.value * 60000);
    const body = { evse_id: form.dataset.evse, from: from.toISOString(), to: to.toISOString() };
    if (form.elements.kwh.value) body.energy_wh = Math.round(form.elements.kwh.value * 1000);
    return body;
  }
  /* The quote of what the form says now: asked for once per content, also when Book is faster. */
  function quote() {
    const body = wanted();
    const content = JSON.stringify(body);
    if (content !== latest) {
      latest = content;
      quoting = body && call("POST", "/charging/quote", body);
      if (quoting) quoting.then((found) => show(content, found), (error) => fail(content, error));
    }
    return quoting;
  }
  function show(content, found) {
    if (content !== latest) return;
    $("#book").disabled = false;
    $(".likely", price).textContent = money(found.likely_minor, found.currency);
    $(".worst", price).textContent = `never more than ${money(found.worst_minor, found.currency)}`;
    $(".why", price).textContent = found.lines
      .map((line) => `${line.label}: ${line.quantity_text} at ${line.unit_price_text} + ${line.tax_percent} % tax`)
      .join(" · ");
  }
  function fail(content, error) {
    if (content !== latest) return;
    $(".likely", price).textContent = "–";
    $(".worst", price).textContent = error.message;
    $(".why", price).textContent = "";
  }
  form.addEventListener("input", () => {
    clearTimeout(form.timer);
    form.timer = setTimeout(quote, 250);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = $("#book");
    try {
      const promised = await quote();
      if (!promised) return;
      button.disabled = true;
      await call("POST", "/charging/booking", { quote_id: promised.quote_id });
      location.href = "/";
    } catch (error) {
      toast(error.message);
      latest = "";
      quote();
    } finally {
      button.disabled = false;
    }
  });
  quote();
}

/* Live power over the WebSocket; the plot grows with every message. */
function livePage(root) {
  const points = JSON.parse(root.dataset.points);
  draw(points);
  if (root.dataset.over) return;
  let pause = 500;
  function open() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/charging/sessions/${root.dataset.session}/live`);
    socket.onmessage = (event) => {
      pause = 500;
      const now = JSON.parse(event.data);
      points.push([Date.parse(now.at), now.power_w]);
      if (points.length > 2000) points.splice(0, 500);
      draw(points);
      $("#power").textContent = (now.power_w / 1000).toFixed(1);
      $("#energy").textContent = (now.energy_wh / 1000).toFixed(3);
      $("#limit").textContent = Math.round(now.limit_ma / 1000);
      $("#reason").textContent = now.stale ? "waiting for news from the site" : now.reason;
      const chip = $("#status");
      chip.textContent = now.status;
      chip.className = `chip s-${now.status}`;
      if (now.soc_percent !== null) $("#soc").textContent = `${now.soc_percent} %`;
    };
    socket.onclose = (event) => {
      if (event.code === 1000) { setTimeout(() => location.reload(), 1500); return; }
      if (event.code >= 4400) return;
      setTimeout(open, pause);
      pause = Math.min(pause * 2, 15000);
    };
  }
  open();
}

function draw(points) {
  const plot = $("#plot");
  if (!plot || points.length === 0) return;
  const times = points.map((each) => each[0]);
  const first = Math.min(...times);
  const span = Math.max(1000, Math.max(...times) - first);
  const top = Math.max(4000, ...points.map((each) => each[1])) * 1.1;
  const place = points
    .slice()
    .sort((a, b) => a[0] - b[0])
    .map(([at, power]) => `${((at - first) / span * 600).toFixed(1)},${(170 - power / top * 165).toFixed(1)}`);
  $(".line", plot).setAttribute("points", place.join(" "));
  $(".area", plot).setAttribute("points", `0,170 ${place.join(" ")} 600,170`);
  $("#top").textContent = `${(top / 1000).toFixed(0)} kW`;
}

const form = $("#booking");
if (form) bookingForm(form);
const session = $("#session");
if (session) livePage(session);
