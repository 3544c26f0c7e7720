// The structures of one defect, side by side, turning together.
scout.pair = (() => {
  const ROTATION = 10; // degrees for each press of a key
  const ZOOM = 1.15;
  const SPIN = 20; // degrees a second

  class Pair {
    constructor(element) {
      this.element = element;
      this.script = element.querySelector(":scope > script");
      this.figures = scout.all(".view", element);
      this.stages = this.figures.map((figure) => figure.querySelector(".stage"));
      this.shown = this.figures.map((figure) => Number(figure.dataset.first));
      this.colour = "displacement";
      this.unit = null;
      this.visible = false;
      this.picked = null;
      this.listen();
    }

    // Read when it is first looked at: a report of hundreds of defects holds millions of numbers.
    prepare() {
      if (this.structures) return;
      const data = scout.json(this.script);
      this.elements = data.elements;
      this.structures = data.models.map((_, index) => scout.crystal.structure(data, index));
      this.maximum = scout.colours.maximum(data.models);
      this.beyond = data.models.some((model) => model.displacements.some((value) => value > this.maximum));
      this.near = scout.crystal.isBig(this.structures[0]);
      this.cell = !this.near;
      this.labels = false;
      this.spin = false;
      this.show("near", this.near);
      this.show("cell", this.cell);
      this.legend();
    }

    structure(side) { return this.structures[this.shown[side]]; }

    environment(side) {
      return scout.crystal.environment(this.structure(side), this.structures[0], this.near);
    }

    style() {
      return {
        atomColour: ({ symbol, displacement }) =>
          this.colour === "element"
            ? this.elements[symbol].colour
            : scout.colours.scale(displacement === null ? null : displacement / this.maximum),
        size: ({ radius }) => Math.max(0.28, 0.42 * radius),
        cell: this.cell, labels: this.labels,
        bond: "var(--bond)", site: "var(--site)", edge: "var(--muted)",
      };
    }

    // As the reader sees the new bonds of the lowest structure best.
    standardView() {
      const bonded = this.structures.slice(1).find((structure) => structure.bonds.length) ?? this.structures.at(-1);
      const near = scout.crystal.environment(bonded, this.structures[0], true);
      const places = this.stages.flatMap((_, side) => {
        const { atoms, corners } = this.environment(side);
        return [...atoms.map((atom) => atom.place), ...(this.cell ? corners : [])];
      });
      const size = Math.max(...places.map(scout.crystal.length));
      return { orientation: scout.orientation.best(near, bonded.lattice), reach: size + 0.4 };
    }

    view() {
      if (this.unit) this.known = scout.scene.view(this.unit.sides[0].viewer);
      this.known ??= this.standardView();
      return this.known;
    }

    setView(view) {
      this.known = view;
      if (this.unit) scout.scene.setView(this.unit.sides[0].viewer, view);
      else this.drawStills();
    }

    drawStills() {
      this.prepare();
      const view = this.view();
      this.stages.forEach((stage, side) => {
        stage.querySelector("svg")?.remove();
        stage.insertAdjacentHTML("afterbegin", scout.picture.draw(this.environment(side), view, this.style()));
      });
    }

    // Borrow viewers and draw.
    wake() {
      this.visible = true;
      if (this.unit) {
        if (this.stale) this.draw();
        return;
      }
      this.drawStills();
      if (!scout.pool.works()) {
        this.element.classList.add("still");
        scout.all("[data-save=png], [data-toggle=labels]", this.element)
          .forEach((button) => { button.hidden = true; });
        return;
      }
      scout.later(() => {
        if (!this.visible || this.unit || !this.element.isConnected) return;
        const view = this.view();
        this.unit = scout.pool.take(this, this.stages);
        if (!this.unit) return;
        scout.scene.setView(this.unit.sides[0].viewer, view);
        this.draw();
        this.turn();
      });
    }

    sleep() {
      this.visible = false;
    }

    // Give the viewers back; a still picture stays.
    release() {
      this.view();
      const unit = this.unit;
      this.unit = null;
      scout.pool.give(unit);
      this.drawStills();
    }

    draw() {
      if (!this.structures) return;
      if (!this.unit) return this.drawStills();
      this.stale = !this.visible; // drawn when it is next seen
      if (this.stale) return;
      this.stages.map((_, side) => this.unit.sides[side]).forEach(({ viewer }, side) => {
        scout.scene.draw(viewer, this.environment(side), this.style(), this.tips(side));
      });
    }

    // As often as pictures are shown, so that slow machines are not flooded.
    turn() {
      if (this.turning || !this.spin || !this.visible) return;
      this.turning = true;
      let last = performance.now();
      const step = (now) => {
        this.turning = this.spin && this.visible;
        if (!this.turning) return;
        const view = this.view();
        const degrees = (Math.min(now - last, 200) * SPIN) / 1000;
        last = now;
        this.setView({ ...view, orientation: scout.orientation.turned(view.orientation, 0, degrees) });
        requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    }

    tips(side) {
      const stage = this.stages[side];
      const out = () => stage.querySelector(".tip")?.remove();
      const describe = (atom) => {
        const parts = [`${atom.symbol}${atom.index + 1}`];
        if (atom.displacement !== null) parts.push(`displaced by ${atom.displacement.toFixed(2)} Å`);
        parts.push(`${scout.crystal.length(atom.place).toFixed(2)} Å from the site`);
        if (this.picked?.side === side && this.picked.atom !== atom) {
          const gap = scout.crystal.length(scout.crystal.minus(atom.place, this.picked.atom.place));
          parts.push(`${gap.toFixed(2)} Å from ${this.picked.atom.symbol}${this.picked.atom.index + 1}`);
        }
        return parts.join(" · ");
      };
      const over = (atom) => {
        out();
        const tip = document.createElement("div");
        tip.className = "tip";
        tip.textContent = describe(atom);
        stage.append(tip);
      };
      const pick = (atom) => {
        over(atom);
        this.picked = { side, atom };
      };
      return { over, out, pick };
    }

    legend() {
      const keys = [];
      if (this.colour === "displacement") {
        const unknown = this.structures.some((structure) => structure.displacements.includes(null));
        keys.push(
          `<span class="scale">Displacement 0<span class="ramp" style="background:${scout.colours.ramp}"></span>${this.beyond ? "≥ " : ""}${this.maximum} Å</span>`,
          unknown ? this.key(`<span class="ball" style="background:${scout.colours.UNKNOWN}"></span>`, "added atom") : "",
        );
      } else {
        Object.entries(this.elements).forEach(([symbol, { colour }]) => {
          keys.push(this.key(`<span class="ball" style="background:${scout.escaped(colour)}"></span>`, scout.escaped(symbol)));
        });
      }
      if (this.structures.some((structure) => structure.bonds.length)) {
        keys.push(this.key('<span class="stick"></span>', "new bond"));
      }
      if (this.environment(0).empty) keys.push(this.key('<span class="site"></span>', "vacant site"));
      keys.push('<span class="keys no-print">Drag or arrow keys to rotate; click, then scroll or <kbd>+</kbd> <kbd>−</kbd> to zoom</span>');
      this.element.querySelector(".legend").innerHTML = keys.join("");
    }

    key(sign, text) { return `<span class="key">${sign}${text}</span>`; }

    show(name, pressed) {
      this.element.querySelector(`[data-toggle=${name}]`).setAttribute("aria-pressed", String(pressed));
    }

    choose(side, index) {
      this.shown[side] = index;
      const structure = this.structure(side);
      const name = `${structure.title}. ${structure.caption}`;
      this.stages[side].setAttribute("aria-label", `${name}. Arrow keys rotate, plus and minus zoom.`);
      this.figures[side].querySelector(".printed").textContent = structure.title;
      this.figures[side].querySelector("figcaption").textContent = scout.minus(structure.caption);
      this.draw();
    }

    save(side, format) {
      this.prepare();
      const structure = this.structure(side);
      if (format === "png") {
        if (this.unit) scout.files.saveURL(this.unit.sides[side].viewer.pngURI(), `${structure.key}.png`);
        return;
      }
      const { text, name } = scout.formats[format];
      scout.files.save(text(structure), name(structure.key), "application/octet-stream");
    }

    press(button) {
      this.prepare();
      if (button.dataset.colour) {
        this.colour = button.dataset.colour;
        scout.all("[data-colour]", this.element).forEach((other) => {
          other.setAttribute("aria-pressed", String(other === button));
        });
        this.legend();
        this.draw();
      } else if (button.dataset.toggle) {
        const name = button.dataset.toggle;
        this[name] = !this[name];
        this.show(name, this[name]);
        if (name === "spin") return this.turn();
        this.draw();
        if (name === "near" || (name === "cell" && this.cell)) {
          this.setView({ orientation: this.view().orientation, reach: this.standardView().reach });
        }
      } else if ("reset" in button.dataset) {
        this.setView(this.standardView());
      }
    }

    keyed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const view = this.view();
      const turns = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const zoom = { "+": 1 / ZOOM, "=": 1 / ZOOM, "-": ZOOM, "−": ZOOM }[event.key];
      if (turns) {
        const orientation = scout.orientation.turned(view.orientation, ...turns.map((sign) => sign * ROTATION));
        this.setView({ ...view, orientation });
      } else if (zoom) this.setView({ ...view, reach: view.reach * zoom });
      else if (event.key === "0" || event.key === "Home") this.setView(this.standardView());
      else return;
      event.preventDefault();
    }

    listen() {
      scout.all(".pair-tools button", this.element).forEach((button) => {
        button.addEventListener("click", () => this.press(button));
      });
      this.figures.forEach((figure, side) => {
        scout.all("[data-save]", figure).forEach((button) => {
          button.addEventListener("click", () => this.save(side, button.dataset.save));
        });
        figure.querySelector("select")?.addEventListener("change", (event) => {
          this.prepare();
          this.choose(side, Number(event.target.value));
        });
      });
      this.stages.forEach((stage) => {
        stage.addEventListener("keydown", (event) => this.keyed(event));
        stage.addEventListener("mousedown", () => stage.focus({ preventScroll: true }), true);
        stage.addEventListener("mouseleave", () => stage.querySelector(".tip")?.remove());
        stage.addEventListener("click", () => stage.focus({ preventScroll: true }));
        // Until a view is chosen, wheel and fingers scroll the page.
        ["wheel", "touchstart", "touchmove"].forEach((kind) => {
          stage.addEventListener(kind, (event) => {
            if (document.activeElement !== stage) event.stopPropagation();
          }, { capture: true, passive: true });
        });
        stage.addEventListener("pointermove", (event) => {
          if (this.unit || !this.structures || !(event.buttons & 1)) return;
          const view = this.view();
          const orientation = scout.orientation.turned(view.orientation, event.movementY / 2, event.movementX / 2);
          this.setView({ ...view, orientation });
        });
      });
    }
  }

  const pairs = new Map(scout.all(".pair").map((element) => [element, new Pair(element)]));
  const watcher = new IntersectionObserver((entries) => {
    entries.forEach((entry) => {
      const pair = pairs.get(entry.target);
      if (entry.isIntersecting) {
        pair.wake();
        pair.turn();
      } else pair.sleep();
    });
  }, { rootMargin: "200px" });
  pairs.forEach((_, element) => watcher.observe(element));
  scout.theme.onChange(() => pairs.forEach((pair) => { if (pair.unit) pair.draw(); }));
  return { drawAllStills: () => pairs.forEach((pair) => pair.drawStills()) };
})();
