// Downloads, made from what is in the page, and the clipboard.
scout.files = (() => {
  function saveURL(url, name) {
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
  }

  function save(text, name, type) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    saveURL(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Pages opened from disk have no clipboard in some browsers.
      const field = document.createElement("textarea");
      field.value = text;
      field.style.position = "fixed";
      field.style.opacity = "0";
      document.body.append(field);
      field.select();
      const copied = document.execCommand("copy");
      field.remove();
      return copied;
    }
  }

  // Everything: the report's words and tables, with each defect's structures beside them.
  function everything() {
    const data = structuredClone(scout.json(document.getElementById("report-data")));
    data.sections.forEach((section) => {
      const script = document.getElementById(section.key).querySelector(".pair > script");
      if (script) section.structures = scout.json(script);
    });
    return data;
  }

  scout.all("[data-copy]").forEach((button) => {
    const name = button.textContent;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const paragraphs = scout.all("p", source).map(scout.plainText);
      const copied = await copy(paragraphs.length ? paragraphs.join("\n\n") : source.textContent.trim() + "\n");
      button.textContent = copied ? "Copied" : "Not copied";
      setTimeout(() => { button.textContent = name; }, 2000);
    });
  });
  document.querySelector("[data-save-all]").addEventListener("click", () => {
    save(JSON.stringify(everything()), "report.json", "application/json");
  });
  return { save, saveURL };
})();
