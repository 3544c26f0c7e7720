// Sortable tables, and their CSV. A cell's `data-v` is its value as JSON, with all digits.
scout.tables = (() => {
  const value = (cell) => JSON.parse(cell.dataset.order ?? cell.dataset.v);
  const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function compare(first, second) {
    if (typeof first === "number" && typeof second === "number") return first - second;
    return natural.compare(String(first), String(second));
  }

  function sort(table, column, direction) {
    const sign = direction === "descending" ? -1 : 1;
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, value: value(row.cells[column]) }));
    rows.sort((one, other) => {
      if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
      return sign * compare(one.value, other.value);
    });
    body.append(...rows.map(({ row }) => row));
    scout.all("th", table.tHead).forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    });
  }

  // As Python's csv module writes it, so that both files of a table are the same.
  function field(cell) {
    const known = JSON.parse(cell.dataset.v);
    if (known === null) return "";
    if (typeof known === "boolean") return known ? "True" : "False";
    if (typeof known === "number") return cell.dataset.v;
    return /[",\r\n]/.test(known) ? `"${known.replaceAll('"', '""')}"` : known;
  }

  function csv(table) {
    const head = scout.all("th", table.tHead).map((cell) => cell.dataset.key);
    const rows = scout.all("tr", table.tBodies[0]).map((row) => Array.from(row.cells, field));
    return [head, ...rows].map((row) => row.join(",") + "\n").join("");
  }

  document.addEventListener("click", (event) => {
    const head = event.target.closest("table[data-sortable] th");
    if (head && event.target.closest("button")) {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      sort(head.closest("table"), head.cellIndex, direction);
    }
    const saves = event.target.closest("[data-csv]");
    if (saves) {
      const table = saves.closest(".table").querySelector("table");
      scout.files.save(csv(table), `${saves.dataset.csv}.csv`, "text/csv");
    }
  });
})();
