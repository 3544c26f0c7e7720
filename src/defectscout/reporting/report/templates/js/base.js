// What all parts of the page share. Each file adds one part to `scout`.
const scout = {};

scout.all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

// The JSON beside an element, read when it is first needed.
scout.json = (() => {
  const known = new WeakMap();
  return (script) => {
    if (!known.has(script)) known.set(script, JSON.parse(script.textContent));
    return known.get(script);
  };
})();

scout.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

scout.escaped = (text) =>
  String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

// Minus signs for the hyphens before numbers.
scout.minus = (text) => text.replace(/(?<![\w.\-–])-(?=\d)/g, "\u2212");

// Text as a reader would copy it: names plain, nothing that is only for the eye.
scout.plainText = (element) => {
  const copy = element.cloneNode(true);
  scout.all("[aria-hidden=true], .meter", copy).forEach((part) => part.remove());
  return copy.textContent;
};

scout.later = window.requestIdleCallback
  ? (task) => window.requestIdleCallback(task, { timeout: 300 })
  : (task) => setTimeout(task, 30);
