// Sections of defects open when a link leads to them.
scout.sections = (() => {
  const sections = () => scout.all("details.one");

  function openTarget() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const section = id && document.getElementById(id);
    if (!section || !section.matches("details.one")) return;
    section.hidden = false;
    section.open = true;
    section.querySelector("summary").focus({ preventScroll: true });
    section.scrollIntoView();
  }

  window.addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    // A second click on the same link changes no hash.
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) setTimeout(openTarget);
  });
  document.querySelector("[data-open-all]")?.addEventListener("click", () => {
    sections().forEach((section) => { section.open = true; });
  });
  document.querySelector("[data-close-all]")?.addEventListener("click", () => {
    sections().forEach((section) => { section.open = false; });
  });
  // After the browser's own jump, which takes the focus away again.
  if (document.readyState === "complete") openTarget();
  else window.addEventListener("load", () => setTimeout(openTarget));
})();
