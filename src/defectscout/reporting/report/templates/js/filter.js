// The filter of the answers, which also leaves out the sections of what it leaves out.
scout.filter = (() => {
  const words = document.querySelector("[data-filter]");
  if (!words) return;
  const level = document.querySelector("[data-filter-level]");
  const count = document.querySelector("[data-filter-count]");
  const rows = scout.all("table.answers tbody tr");

  function apply() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row) => {
      const fits = wanted.every((word) => row.dataset.search.includes(word));
      row.hidden = !(fits && (!level.value || row.dataset.level === level.value));
      document.getElementById(row.dataset.section).hidden = row.hidden;
      shown += !row.hidden;
    });
    count.textContent = shown === rows.length ? `${shown} defects` : `${shown} of ${rows.length} defects`;
  }

  words.addEventListener("input", apply);
  level.addEventListener("change", apply);
  apply(); // browsers keep what was typed across a reload
})();
