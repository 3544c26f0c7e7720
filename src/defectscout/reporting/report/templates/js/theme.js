// Light and dark: the system's choice until the reader makes one, which is kept where the browser allows it.
scout.theme = (() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  const store = {
    read() {
      try { return localStorage.getItem("defectscout-theme"); } catch { return null; }
    },
    write(theme) {
      try { localStorage.setItem("defectscout-theme", theme); } catch { /* kept for this visit only */ }
    },
  };
  const chosen = store.read();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const button = document.querySelector("[data-theme-switch]");
  const tell = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    listeners.forEach((listener) => listener());
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    store.write(root.dataset.theme);
    tell();
  });
  system.addEventListener("change", tell);
  button.setAttribute("aria-pressed", String(isDark()));
  return { isDark, onChange: (listener) => listeners.push(listener) };
})();
