// Viewers are few, since browsers allow about 16 WebGL contexts (3Dmol.js shares one where it can), and memory is dear:
// they are lent in pairs to the sections that are looked at.
scout.pool = (() => {
  const PAIRS = 3;
  const units = [];

  const works = (() => {
    let known = null;
    return () => {
      if (known === null) {
        const context = document.createElement("canvas").getContext("webgl2");
        known = Boolean(context) && Boolean(window.$3Dmol);
        context?.getExtension("WEBGL_lose_context")?.loseContext();
      }
      return known;
    };
  })();

  const hasSize = (viewer) => viewer.getCanvas().clientWidth > 0 && viewer.getCanvas().clientHeight > 0;

  // When one turns, the other does; what is not on screen is left alone until it is.
  function link(viewers) {
    let passing = false;
    viewers.forEach((viewer, index) => {
      const other = viewers[1 - index];
      viewer.setViewChangeCallback((view) => {
        if (passing || !hasSize(other) || view.join() === other.getView().join()) return;
        passing = true;
        other.setView(view, true);
        passing = false;
      });
    });
  }

  function create(stage) {
    const sides = [0, 1].map(() => {
      const holder = document.createElement("div");
      holder.className = "holder";
      stage.append(holder); // a viewer needs a size to begin with
      const viewer = window.$3Dmol.createViewer(holder, { orthographic: true, antialias: true, hoverDuration: 120 });
      viewer.setViewStyle({ style: "outline", width: 0.035, color: "#10151c", maxpixels: 2 });
      viewer.getCanvas().setAttribute("aria-hidden", "true");
      holder.remove();
      return { holder, viewer };
    });
    link(sides.map(({ viewer }) => viewer));
    return { sides, owner: null };
  }

  // How far an element is from what is on screen, in pixels.
  function distance(element) {
    const { top, bottom, height } = element.getBoundingClientRect();
    if (!height) return Infinity;
    return Math.max(0, top - innerHeight, -bottom);
  }

  // Viewers for one or two stages; whoever is farthest from the screen gives theirs up. Null if all are being looked at.
  function take(owner, stages) {
    let unit = units.find((other) => !other.owner);
    if (!unit && units.length < PAIRS) {
      unit = create(stages[0]);
      units.push(unit);
    }
    if (!unit) {
      unit = units.reduce((one, other) =>
        distance(other.owner.element) > distance(one.owner.element) ? other : one);
      if (distance(unit.owner.element) === 0 && distance(owner.element) > 0) return null;
      unit.owner.release();
    }
    unit.owner = owner;
    stages.forEach((stage, index) => stage.append(unit.sides[index].holder));
    stages.forEach((_, index) => unit.sides[index].viewer.resize());
    return unit;
  }

  function give(unit) {
    unit.owner = null;
    unit.sides.forEach(({ holder }) => holder.remove());
  }

  return { works, take, give };
})();
