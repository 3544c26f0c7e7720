// Colours of atoms. The scale of displacements is perceptually uniform, falls in lightness only, and is told apart
// by colour-blind readers.
scout.colours = (() => {
  // Magma (Smith and van der Walt) from 0.98 down to 0.36: pale atoms rest, dark ones have moved.
  const STOPS = [
    "#fcf4b6", "#fed194", "#feac76", "#fb8761", "#f2625d",
    "#db476a", "#bc3978", "#9c2e7f", "#7c2382",
  ];
  const UNKNOWN = "#b9bec6";
  const part = (hex, place) => parseInt(hex.slice(1 + 2 * place, 3 + 2 * place), 16);

  function mix(one, other, share) {
    const parts = [0, 1, 2].map((place) => Math.round(part(one, place) * (1 - share) + part(other, place) * share));
    return `#${parts.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  }

  // Of a displacement of `share` of the scale's maximum; null where an atom has no place to be displaced from.
  function scale(share) {
    if (share === null) return UNKNOWN;
    const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
    const below = Math.min(Math.floor(place), STOPS.length - 2);
    return mix(STOPS[below], STOPS[below + 1], place - below);
  }

  // Where the scale of a section ends, Å: at a round number, and at 1 Å at most. A few atoms go farther, and would leave
  // no colours for the others.
  function maximum(models) {
    const largest = Math.max(0.1, ...models.flatMap((model) => model.displacements.filter((value) => value !== null)));
    return [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8].find((value) => value >= largest) ?? 1;
  }

  return { scale, maximum, mix, ramp: `linear-gradient(to right, ${STOPS.join(", ")})`, UNKNOWN };
})();
